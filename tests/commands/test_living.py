"""Living with a running system: set, update, detach, drain, follow."""

from __future__ import annotations

import json
import signal
import subprocess
import time

import pytest

from engine.testing.daemons import daemons, wait_until
from tests.commands.conftest import Shell

pytestmark = pytest.mark.integration


def paths(sh, *words):
    return [row["path"] for row in sh.json("sfstatus", "localhost", *words)]


def test_attributes_are_set_read_and_removed_wherever_they_are(sh, file):
    sh("sfstart", "localhost", "app", file)
    assert sh("sfget", "localhost", "app:a:text").stdout == '"hello"\n'
    assert sh("sfset", "localhost", "app:word", "5").stdout == '"hello"\n'
    assert sh("sfget", "localhost", "app:word").stdout == "5\n"
    assert sh("sfset", "localhost", "app:far:c:note", '"5"').stdout == "NULL\n"
    assert sh.json("sfget", "localhost", "app:far:c:note") == {"value": "5"}
    assert sh("sfset", "localhost", "app:far:c:note", "LAZY ROOT:word").returncode == 0
    assert sh("sfget", "localhost", "app:far:c:note").stdout == "5\n"
    assert "ROOT" in sh("sfremove", "localhost", "app:far:c:note").stdout
    assert "no note in app:far:c" in sh("sfget", "localhost", "app:far:c:note", code=7).stderr
    assert sh.json("sfget", "localhost", "app:far:c")["component"] == "app:far:c"
    assert sh("sfGet", "localhost", "app:in").stdout.startswith("app:in at 127.0.0.1:")


def test_a_batch_is_all_or_nothing_and_may_expect_a_generation(sh, file):
    sh("sfstart", "localhost", "app", file)
    done = sh.json("sfset", "localhost", "app:x=1", "app:y=[|1, 2|]")
    assert done == {"component": "app", "generation": 1, "old": {"x": None, "y": None}}
    assert sh.json("sfget", "localhost", "app:y") == {"value": [1, 2]}
    refused = sh.json("sfset", "localhost", "app:x=2", "--expect-generation", "0", code=1)
    assert refused["code"] == "SF-ATTR-016"
    sh("sfset", "localhost", "app:x=2", "app:a=3", code=1)
    assert sh("sfget", "localhost", "app:x").stdout == "1\n"
    sh("sfset", "localhost", "app:x=2", "--expect-generation", "1")
    removed = sh.json("sfremove", "localhost", "app:x", "app:y", "--expect-generation", "2")
    assert removed["old"] == {"x": 2, "y": [1, 2]}


def test_an_update_is_looked_at_bound_to_its_plan_done_and_taken_back(sh, file, tmp_path):
    sh("sfstart", "localhost", "app", file)
    new = tmp_path / "new.sf"
    new.write_text(
        file.read_text().replace('word "hello"', 'word "bye"')
        .replace(f'in extends Compound {{ b extends Maker {{ file "{tmp_path}/b"; }} }}',
                 f'd extends Maker {{ file "{tmp_path}/d"; }}')
        .replace('sfProcessHost "two"', 'sfProcessHost "one"')
    )  # fmt: skip
    plan = sh("sfupdate", "localhost", "app", new, "--plan").stdout
    assert "~   app" in plan
    assert 'word "bye"' in plan
    assert "├─ -   in" in plan
    assert "└─ +   d" in plan
    assert "+/- far" in plan
    assert "(its place differs)" in plan
    digest = sh.json("sfupdate", "localhost", "app", new, "--plan")["digest"]
    sh("sfupdate", "localhost", "app", new, "--expect", "0123", code=1)
    assert (tmp_path / "b").exists()
    other = ("--set", "word=other", "--expect", digest)
    assert sh.json("sfupdate", "localhost", "app", new, *other, code=1)["code"] == "SF-PLAN-001"
    done = sh("sfupdate", "localhost", "app", new, "--expect", digest).stdout
    assert "1 altered, 1 replaced, 1 made, 1 ended" in done
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "d").exists()
    sh("sfupdate", "localhost", "app", new, "--expect", digest, code=1)
    sh("sfupdate", "localhost", "app", "--revert")
    assert sh("sfget", "localhost", "app:word").stdout == '"hello"\n'
    assert (tmp_path / "b").exists()
    assert not (tmp_path / "d").exists()


def test_what_may_not_be_updated_says_so(sh, file, tmp_path):
    file.write_text(file.read_text().replace("sfUpdatable true; sfMinReadyTime 0;", ""))
    sh("sfstart", "localhost", "app", file)
    done = sh("sfupdate", "localhost", "app", file, "--plan", code=1)
    assert "wrong: app: is not updatable" in done.stdout
    assert "not updatable" in sh("sfupdate", "localhost", "app", file, code=1).stderr
    sh("sfupdate", "localhost", "app", code=2)
    sh("sfupdate", "localhost", "app", file, "--revert", code=2)
    assert "no earlier description" in sh("sfupdate", "localhost", "app", "--revert", code=1).stderr
    sh("sfupdate", "localhost", "nothing", file, code=7)


def test_a_component_is_cut_off_and_goes_on_or_ends_alone(sh, file, tmp_path):
    sh("sfstart", "localhost", "app", file)
    name = sh("sfdetach", "localhost", "app:in").stdout.strip()
    assert paths(sh, name) == [name, f"{name}:b"]
    assert sh("sfdetach", "localhost", "app", code=1).stderr
    done = sh("sfDetachAndTerminate", "localhost", "app:far")
    assert "terminated app:far: 2 components" in done.stdout
    assert paths(sh, "app") == ["app", "app:a"]
    assert not (tmp_path / "c").exists()
    sh("sfterminate", "localhost", "app")
    assert (tmp_path / "b").exists()
    done = sh("sfterminate", "localhost", name, "--no-wait")
    id_ = done.stdout.split()[-1]
    sh("sfterminate", "localhost", name, "--request-id", id_)
    assert not (tmp_path / "b").exists()


def test_a_part_of_a_description_becomes_a_child_of_what_runs(sh, file, tmp_path):
    sh("sfstart", "localhost", "app", file)
    child = ("--sub", "in:b", "--set", f"in:b:file={tmp_path}/x")
    done = sh("sfstart", "localhost", "x", file, "--parent", "app:far", *child)
    assert "started app:far:x on localhost: 1 components" in done.stdout
    assert paths(sh, "app:far") == ["app:far", "app:far:c", "app:far:x"]
    sh("sfstart", "localhost", "x", file, "--parent", "app:far", *child, code=8)
    done = sh("sfstart", "localhost", "y", file, "--parent", "app:a", *child, code=3)
    assert "FileMaker has no children" in done.stderr
    sh("sfstart", "localhost", "y", file, "--sub", "in:no", code=3)
    sh("sfstart", "localhost", "y", file, "--parent", "app", "--plan", code=2)
    sh("sfterminate", "localhost", "app")
    assert not (tmp_path / "x").exists()


def test_a_start_may_wait_for_readiness_or_for_nothing(sh, tmp_path):
    file = tmp_path / "ready.sf"
    file.write_text("""
#include "org/smartfrog/components.sf"
sfConfig extends Compound {
    s extends Prim { sfClass "engine.testing.components.Signaller"; sfReadyWhen "signal"; MORE }
}
""")
    text = file.read_text()
    file.write_text(text.replace("MORE", "readyAfter 0.3d;"))
    sh("sfstart", "localhost", "app", file, "--wait", "ready")
    assert sh.json("sfstatus", "localhost", "app")[0]["ready"] is True
    sh("sfterminate", "localhost", "app")
    done = sh.json("sfstart", "localhost", "app", file, "--wait", "none")
    sh("sfstart", "localhost", "app", file, "--request-id", done["request_id"])
    sh("sfterminate", "localhost", "app")
    file.write_text(text.replace("MORE", "readyAfter 600.0d;"))
    done = sh("sfstart", "localhost", "app", file, "--wait", "ready", "--timeout", "2", code=6)
    assert "not ready in time" in done.stderr
    sh("sfterminate", "localhost", "app")
    with sh.begin("sfstart", "localhost", "app", file, "--wait", "ready") as starting:
        wait_until(lambda: "started" in sh("sfstatus", "localhost").stdout, what="it has started")
        _, err = interrupted(starting)
    assert starting.returncode == 130
    assert "interrupted: it has started" in err


def test_status_follows_what_happens_on_all_hosts_until_the_end(sh, file):
    sh("sfstart", "localhost", "app", file)
    with sh.begin("sfstatus", "localhost", "app", "--follow", "--json") as following:
        try:
            rows = json.loads(following.stdout.readline())["result"]
            assert [row["path"] for row in rows][-1] == "app:far:c"
            sh("sfterminate", "localhost", "app")
            out, err = following.communicate(timeout=30)
        finally:
            following.kill()
    assert following.returncode == 0, err
    events = [json.loads(line)["result"] for line in out.splitlines()]
    assert {event["body"]["type"] for event in events} <= {"state", "ready", "health", "restart"}
    assert events[-1]["path"] == "app"
    assert events[-1]["body"]["state"] == "terminated"
    assert {"app:a", "app:far:c"} <= {event["path"] for event in events}


def test_status_shows_as_many_levels_as_asked_for(sh, file):
    sh("sfstart", "localhost", "app", file)
    assert paths(sh, "app", "--depth", "1") == ["app", "app:a", "app:in", "app:far"]
    assert paths(sh) == ["app"]
    assert "app:in:b" in paths(sh, "--depth", "9")


def test_logs_and_their_levels_are_set_and_shown(sh, file):
    sh("sfstart", "localhost", "app", file)
    done = sh("sfstatus", "localhost", "--set-log", "app:a", "debug")
    assert "app:a logs from debug" in done.stdout
    sh("sflog", "localhost", "app")
    sh("sfstatus", "localhost", "--set-log", "app:a", "loudly", code=1)


def test_a_daemon_has_its_peers_asked(sh, pair):
    done = sh("sfping", "localhost", "--all")
    assert done.stdout.startswith("two ")
    assert "running, version" in done.stdout
    (row,) = sh.json("sfping", "localhost", "--all")
    assert (row["name"], row["address"]) == ("two", pair[1].address)
    sh("sfping", "localhost", "app", "--all", code=2)


def test_a_drained_daemon_takes_no_work_until_told_to(sh, file):
    sh("sfdrain", "localhost")
    try:
        assert "draining" in sh("sfping", "localhost").stdout
        assert "draining" in sh("sfstart", "localhost", "app", file, code=1).stderr
    finally:
        assert "is running" in sh("sfdrain", "localhost", "--end").stdout
    sh("sfstart", "localhost", "app", file)


def test_a_daemon_starts_with_its_defaults_and_takes_them_up_again(tmp_path, file):
    other = tmp_path / "other.sf"
    other.write_text(file.read_text().replace('sfProcessHost "two"; ', ""))
    wrong = tmp_path / "wrong.sf"
    wrong.write_text("sfConfig extends Nothing {}")
    defaults = f"{wrong},{other}"
    with daemons(tmp_path, "one", SMARTDOMAINS_DEFAULTS=defaults) as (one,):
        sh = Shell(one.port)
        before = sh.json("sfstatus", "localhost", "other")
        assert len(before) == 6
        lines = sh("sfevents", "localhost", "--kind", "log").stdout
        assert f"default {wrong}: " in lines
        assert "default" in one.log.read_text()
        one.stop()
        one.start()
        after = sh.json("sfstatus", "localhost", "other")
        assert [row["ident"] for row in after] == [row["ident"] for row in before]
        sh("sfstop", "localhost", "--drain", "0.1")
        assert one.reap() == 0
    assert not (tmp_path / "a").exists()


def test_maintenance_lasts_until_it_is_ended(tmp_path, file):
    environment = {"SMARTDOMAINS_MAINTENANCE": "true", "SMARTDOMAINS_DEFAULTS": str(file)}
    with daemons(tmp_path, "one", "two", **environment) as (one, two):
        sh = Shell(one.port)
        assert sh.json("sfstatus", "localhost") == []
        sh("sfstart", "localhost", "app", file, code=1)
        for each in (one, two):
            Shell(each.port)("sfdrain", "localhost", "--end")
        sh("sfstart", "localhost", "app", file)
        sh("sfterminate", "localhost", "app")


def interrupted(process, number=signal.SIGINT):
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert "Traceback" not in out + err
    return out, err


def test_an_interrupted_start_is_rolled_back_and_says_so(sh, file, tmp_path):
    text = file.read_text().replace('file "' + f"{tmp_path}/b" + '";',
                                    f'file "{tmp_path}/b"; block "start";')  # fmt: skip
    file.write_text(text)
    with sh.begin("sfstart", "localhost", "app", file) as starting:
        wait_until((tmp_path / "a").exists, what="a is made")
        _, err = interrupted(starting)
    assert starting.returncode == 130
    assert "interrupted: rolled back, nothing is left" in err
    assert not (tmp_path / "a").exists()
    assert sh.json("sfstatus", "localhost") == []
    with sh.begin("sfstart", "localhost", "app", file, "--json") as starting:
        wait_until((tmp_path / "a").exists, what="a is made")
        out, _ = interrupted(starting)
    assert starting.returncode == 130
    error = json.loads(out)["error"]
    assert (error["kind"], bool(error["request_id"])) == ("Interrupted", True)


@pytest.mark.parametrize("parent", ["app", "app:far"], ids=["near", "far"])
def test_an_interrupted_child_is_rolled_back_and_the_rest_goes_on(sh, file, tmp_path, parent):
    sh("sfstart", "localhost", "app", file)
    before = paths(sh, "app")
    child = tmp_path / "child.sf"
    child.write_text(f"""
#include "org/smartfrog/components.sf"
Maker extends Prim {{ sfClass "engine.testing.components.FileMaker"; }}
sfConfig extends Compound {{
    x extends Maker {{ file "{tmp_path}/x"; }}
    y extends Maker {{ file "{tmp_path}/y"; block "start"; }}
}}
""")
    with sh.begin("sfstart", "localhost", "more", child, "--parent", parent) as starting:
        wait_until((tmp_path / "x").exists, what="x is made")
        began = time.monotonic()
        _, err = interrupted(starting)
        assert time.monotonic() - began < 30
    assert starting.returncode == 130
    assert "interrupted: rolled back, nothing is left of 3 components" in err
    assert not (tmp_path / "x").exists()
    assert paths(sh, "app") == before
    sh("sfstart", "localhost", "more", child, "--parent", parent, "--sub", "x")  # the name is free
    sh("sfterminate", "localhost", "app")


def test_an_interrupt_of_what_cannot_be_stopped_says_that_it_goes_on(sh, file, tmp_path):
    text = file.read_text().replace('file "' + f"{tmp_path}/b" + '";',
                                    f'file "{tmp_path}/b"; block "terminate"; sfTerminateTimeout 3;')  # fmt: skip
    file.write_text(text)
    sh("sfstart", "localhost", "app", file)
    with sh.begin("sfterminate", "localhost", "app") as ending:
        wait_until(lambda: "terminating" in sh("sfstatus", "localhost", "app", code=0).stdout,
                   what="it is ending")  # fmt: skip
        _, err = interrupted(ending)
    assert ending.returncode == 130
    assert "it goes on" in err
    id_ = err.split()[-1]
    sh("sfterminate", "localhost", "app", "--request-id", id_)
    assert sh.json("sfstatus", "localhost") == []


def test_following_ends_with_an_interrupt(sh):
    with sh.begin("sfevents", "localhost", "--follow") as following:
        try:
            following.stdout.readline()
            interrupted(following)
        except subprocess.TimeoutExpired:
            following.kill()
            raise
    assert following.returncode == 130
