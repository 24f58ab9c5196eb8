"""Several actions in one command: each told in a line, the first failure counts, `-t` takes back."""

from __future__ import annotations

import json
import re
import signal

import pytest

from engine.ports import free_port
from engine.testing.daemons import wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def near(file):
    """A description for one host."""
    file.write_text(file.read_text().replace('sfProcessHost "two"; ', ""))
    return file


def told(done):
    return [line for line in done.stdout.splitlines() if line.startswith(" - ")]


def test_a_life_from_deploy_to_terminate(sh, near):
    done = sh(
        "sf", f"app:DEPLOY:{near}", "app:a:PING", "app:STATUS", "app:LIST", "app:DUMP",
        "DIAGNOSTICS", "PING", f"app:UPDATE:{near}", f":PARSE:{near}", f"other:PLAN:{near}",
    )  # fmt: skip
    lines = told(done)
    assert lines == [
        f" - SUCCESSFUL {what} host=localhost"
        for what in ("DEPLOY app", "PING app:a", "STATUS app", "LIST app", "DUMP app",
                     "DIAGNOSTICS ", "PING ", "UPDATE app", "PARSE ", "PLAN other")
    ]  # fmt: skip
    assert "├─ a" in done.stdout
    assert 'word "hello";' in done.stdout
    done = sh("sf", "-q", "app:in:DETaTERM", "app:TERMINATE")
    assert done.stdout.splitlines() == [
        " - SUCCESSFUL DETaTERM app:in host=localhost",
        " - SUCCESSFUL TERMINATE app host=localhost",
    ]


def test_deploy_below_a_component_makes_a_child_of_it(sh, near, tmp_path):
    part = tmp_path / "part.sf"
    part.write_text(near.read_text().replace(f"{tmp_path}/b", f"{tmp_path}/x"))
    sh(
        "sf",
        f"app:DEPLOY:{near}",
        f"app:in:x:DEPLOY:{part}:'in:b'",
        f"'app:y':DEPLOY:{part}",
        code=1,
    )
    rows = [row["path"] for row in sh.json("sfstatus", "localhost", "app:in")]
    assert rows == ["app:in", "app:in:b", "app:in:x"]


def test_a_named_process_is_asked_and_ended_itself_where_there_is_no_name(sh, near, tmp_path):
    apart, part = tmp_path / "apart.sf", tmp_path / "part.sf"
    text = near.read_text()
    apart.write_text(text.replace("a extends Maker {", 'a extends Maker { sfProcessName "p1";'))
    part.write_text(text.replace(f"{tmp_path}/b", f"{tmp_path}/x"))
    done = sh(
        "sf", f"app:DEPLOY:{apart}", ":PING::::p1", ":STATUS::::p1", ":LIST::::p1",
        ":DIAGNOSTICS::::p1", "app:in:DIAGNOSTICS", f"app:in:x:DEPLOY:{part}:'in:b'::p1",
    )  # fmt: skip
    said = re.split(r"(?m)^ - SUCCESSFUL .*\n", done.stdout)
    assert len(said) == 8
    assert ", 1 components," in said[1]
    assert re.search(r"process +p1\n", said[4])
    assert "app:in:b" in said[5]
    rows = {row["path"]: row["address"] for row in sh.json("sfstatus", "localhost", "app")}
    assert rows["app:in:x"] == rows["app:a"] != rows["app:in"]
    assert "no process p2" in sh("sf", ":PING::::p2", code=7).stdout
    sh("sf", ":TERMINATE::::p1")  # its parts end, and with them what they are parts of
    wait_until(lambda: sh.json("sfstatus", "localhost") == [], what="the application has ended")


def test_what_is_cut_off_goes_on(sh, near):
    sh("sf", f"app:DEPLOY:{near}", "app:in:DETACH", "app:TERMINATE")
    (row,) = sh.json("sfstatus", "localhost")
    sh("sf", f"'{row['path']}':TERMINATE")
    assert sh.json("sfstatus", "localhost") == []


@pytest.mark.parametrize("take_back", [True, False])
def test_an_interrupted_deploy_is_rolled_back_and_with_t_those_before_it_too(
    sh, near, tmp_path, take_back
):
    stuck = tmp_path / "stuck.sf"
    stuck.write_text(near.read_text().replace("/b", "/x").replace("text LAZY", 'block "start"; text LAZY')
                     .replace(f"{tmp_path}/a", f"{tmp_path}/y"))  # fmt: skip
    words = ["sf", *(["-t"] if take_back else []), f"one:DEPLOY:{near}", f"two:DEPLOY:{stuck}"]
    with sh.begin(*words) as running:
        wait_until((tmp_path / "y").exists, what="it is being started")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, out + err
    assert "Traceback" not in out + err
    assert "rolled back" in err
    assert not (tmp_path / "y").exists()
    left = [row["path"] for row in sh.json("sfstatus", "localhost")]
    assert left == ([] if take_back else ["one"])
    if left:
        sh("sf", "one:TERMINATE")


def test_what_is_loaded_has_not_started(sh, near, tmp_path):
    done = sh("sf", f"app:LOAD:{near}")
    assert "loaded app" in done.stdout
    assert sh.json("sfstatus", "localhost", "app")[0]["state"] == "deployed"
    assert not (tmp_path / "a").exists()
    done = sh("sf", f"app:b:LOAD:{near}", code=1)
    assert "LOAD makes whole applications" in done.stdout


def test_deploywait_returns_when_it_has_ended_and_fails_if_it_failed(sh, tmp_path):
    file = tmp_path / "short.sf"
    text = """
#include "org/smartfrog/components.sf"
sfConfig extends Compound {
    s extends Prim { sfClass "engine.testing.components.Sleeper"; endsAfter 0.3d; recordType "KIND"; }
}
"""
    file.write_text(text.replace("KIND", "normal"))
    assert "ended: normal" in sh("sf", f"app:DEPLOYWAIT:{file}").stdout
    file.write_text(text.replace("KIND", "abnormal"))
    assert "ended: abnormal at app:s" in sh("sf", f"app:DEPLOYWAIT:{file}", code=1).stdout


def test_the_first_failure_is_the_exit_code_and_the_rest_is_done(sh, near):
    done = sh("sf", "no:PING", f"app:DEPLOY:{near}", f"app:DEPLOY:{near}", "app:PING", code=7)
    words = [line.split()[1:3] for line in told(done)]
    assert words == [
        ["FAILED", "PING"], ["SUCCESSFUL", "DEPLOY"], ["FAILED", "DEPLOY"], ["SUCCESSFUL", "PING"],
    ]  # fmt: skip
    assert "is in use" in told(done)[2]


def test_a_failed_deploy_takes_those_before_it_back_newest_first(sh, near, tmp_path):
    second = tmp_path / "second.sf"
    second.write_text("""
#include "org/smartfrog/components.sf"
sfConfig extends Compound {}
""")
    done = sh("sf", "-t", f"one:DEPLOY:{near}", "no:PING", f"two:DEPLOY:{second}",
              f"one:DEPLOY:{second}", "one:PING", code=7)  # fmt: skip
    assert [line.split(" host=")[0] for line in told(done)] == [
        " - SUCCESSFUL DEPLOY one", " - FAILED PING no", " - SUCCESSFUL DEPLOY two",
        " - FAILED DEPLOY one", " - SUCCESSFUL TERMINATE two", " - SUCCESSFUL TERMINATE one",
    ]  # fmt: skip
    assert sh.json("sfstatus", "localhost") == []


def test_a_list_of_hosts_is_acted_on_in_order_or_together(sh, pair):
    hosts = [each.address for each in pair]
    listed = ",".join(f'"{host}"' for host in hosts)
    for more in ((), ("-j",)):
        done = sh("sf", *more, f":PING:::[{listed}]")
        assert [line.partition("host=")[2] for line in told(done)] == hosts
    gone = f"127.0.0.1:{free_port()}"
    done = sh("sf", f':PING:::["{gone}",{listed}]', code=4)
    assert [line.split()[1] for line in told(done)] == ["FAILED", "SUCCESSFUL", "SUCCESSFUL"]


@pytest.mark.parametrize("first", [(), ("-t", "before:DEPLOY:{near}")])
def test_an_interrupt_rolls_back_what_is_being_made_on_all_hosts_at_once(
    sh, pair, near, tmp_path, first
):
    slow = tmp_path / "slow.sf"
    slow.write_text(f"""
#include "org/smartfrog/components.sf"
sfConfig extends Prim {{
    sfClass "engine.testing.components.FileMaker"; file "{tmp_path}/x"; block "deploy";
}}
""")

    def there(host):
        return [row["path"] for row in sh.json("sfstatus", host.address)]

    hosts = ",".join(f'"{each.address}"' for each in pair)
    words = [word.format(near=near) for word in first]
    with sh.begin("sf", "-j", *words, f"app:DEPLOY:{slow}::[{hosts}]") as running:
        for each in pair:
            wait_until(lambda each=each: "app" in there(each), what="it is being made there")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "Traceback" not in err
    lines = [line.split(" host=")[0] for line in out.splitlines() if line.startswith(" - ")]
    told = [" - FAILED DEPLOY app", " - FAILED DEPLOY app"]
    if first:
        told = [" - SUCCESSFUL DEPLOY before", *told, " - SUCCESSFUL TERMINATE before"]
    assert lines == told
    assert all(there(each) == [] for each in pair)


def test_actions_come_from_a_file_and_results_as_objects(sh, near, tmp_path):
    actions = tmp_path / "actions"
    actions.write_text(f"# all of it\napp:DEPLOY:{near}\napp:TERMINATE // at once\n")
    done = sh("sf", "--json", "PING", "-a", "no:PING", "-f", actions, "-e", code=7)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(each["ok"], each["code"], each["result"]["action"]) for each in found] == [
        (True, 0, "PING"), (False, 7, "PING"), (True, 0, "DEPLOY"), (True, 0, "TERMINATE"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no actions"),
        (("app:FLY",), "no action"),
        (("-f", "no-such-file"), "no-such-file"),
        (("app:DEPLOY",), "needs a description"),
    ],
)
def test_wrong_actions_are_bad_arguments_and_nothing_is_done(sh, words, said):
    assert said in sh("sf", "x:PING", *words, code=2).stderr if words else sh("sf", code=2).stderr


def test_a_wrong_description_is_exit_code_3(sh, tmp_path):
    wrong = tmp_path / "wrong.sf"
    wrong.write_text("sfConfig extends Nothing {}")
    sh("sf", f"app:DEPLOY:{wrong}", code=3)
    sh("sf", f"app:DEPLOY:{tmp_path}/none.sf", code=3)
