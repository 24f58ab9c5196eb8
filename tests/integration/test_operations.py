"""Looking after real daemons: logs over hosts, metrics, the report, the check of a machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.client.client import Client, Operation
from engine.testing.daemons import daemons
from engine.wire.codec import encode
from engine.wire.messages import Call, Returned

pytestmark = pytest.mark.integration

BIN = Path(sys.executable).parent
TALK = """
#include "org/smartfrog/components.sf"
Talker extends Prim { sfClass "engine.testing.components.Talker"; }
sfConfig extends Compound {
    near extends Talker { line "near says"; }
    far extends Talker { sfProcessHost "two"; line "far says"; }
}
"""


def run(*words, code=0, **environment):
    done = subprocess.run(
        [str(BIN / words[0]), *map(str, words[1:])], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


def call(daemon, path, level, text):
    """Have a component say something, from outside."""
    with contextlib.closing(daemon.client()) as client:
        (row,) = client.whole_tree(path)
    op = Call(row.ident, "say", encode([level, text]))
    with contextlib.closing(Client(row.address)) as client:
        Operation(client, op, os.urandom(8).hex(), 20.0, Returned).result()


def test_logs_of_all_hosts_come_by_time_and_are_followed(tmp_path):
    file = tmp_path / "talk.sf"
    file.write_text(TALK)
    with daemons(tmp_path, "one", "two") as (one, two):
        run("sfstart", "localhost", "app", file, "-p", one.port, "--request-id", "my-start")
        chosen = run("sflog", "localhost", "app", "-v", "--trace", "my-start", "-p", one.port)
        assert [line.split("  ")[-1] for line in chosen.stdout.splitlines()] == ["[my-start]"] * 2
        assert run("sflog", "localhost", "app", "--trace", "other", "-p", one.port).stdout == ""
        lines = run("sflog", "localhost", "app", "-p", one.port).stdout.splitlines()
        assert [line.partition("info")[2].strip() for line in lines] == [
            "app:near on one  near says", "app:far on two  far says",
        ]  # fmt: skip
        done = run("sflog", "localhost", "app:far", "--json", "-p", one.port)
        assert json.loads(done.stdout)["result"]["node"] == "two"
        assert run("sflog", "localhost", "app", "--level", "warn", "-p", one.port).stdout == ""

        follow = subprocess.Popen(
            [BIN / "sflog", "localhost", "app", "--follow", "--json", "-p", str(one.port)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert json.loads(follow.stdout.readline())["result"]["text"] == "near says"
            assert json.loads(follow.stdout.readline())["result"]["text"] == "far says"
            call(one, "app:far", "warn", "look here")
            said = json.loads(follow.stdout.readline())["result"]
            assert (said["text"], said["level"], said["path"]) == ("look here", "warn", "app:far")
        finally:
            follow.send_signal(2)
            assert follow.wait(20) == 130
            follow.stdout.close()
            follow.stderr.close()
        two.kill()
        done = run("sflog", "localhost", "app", "-p", one.port)
        assert "near says" in done.stdout
        assert two.address in done.stderr


def test_the_report_says_what_is_set_known_seen_and_slow(tmp_path):
    file = tmp_path / "slow.sf"
    file.write_text(f"""
#include "org/smartfrog/components.sf"
Maker extends Prim {{ sfClass "engine.testing.components.FileMaker"; }}
sfConfig extends Compound {{
    far extends Compound {{ sfProcessHost "two";
        slow extends Prim {{ sfClass "engine.testing.components.Sleeper"; threadSeconds 0.4; }} }}
    near extends Maker {{ file "{tmp_path}/near"; }}
}}
""")
    told = {"SMARTDOMAINS_HYPERVISOR_URI": "esx://root:hush-hush@nowhere/"}
    with daemons(tmp_path, "one", "two", **told) as (one, two):
        run("sfstart", "localhost", "app", file, "-p", one.port)
        text = run("sfdiag", "localhost", "-p", one.port).stdout
        for title in (
            "DAEMON",
            "SETTINGS",
            "VERSIONS",
            "CERTIFICATES",
            "PEERS",
            "THREADS",
            "POOLS",
        ):
            assert title in text
        assert "hush" not in text
        done = run("sfdiag", "localhost", "--json", "-p", one.port)
        report = json.loads(done.stdout)["result"]
        settings = {row["name"]: (row["value"], row["from"]) for row in report["settings"]}
        assert settings["node"] == ("one", "command line")
        assert settings["hypervisor_uri"][1] == "SMARTDOMAINS_HYPERVISOR_URI"
        (peer,) = [row for row in report["peers"] if row["address"] == two.address]
        assert float(peer["seen s ago"]) < 60
        assert {row["what"] for row in report["certificates"]} == {"daemon", "authority"}
        assert all(int(row["days left"]) > 30 for row in report["certificates"])
        assert {"MainThread", "ledger"} <= {row["name"] for row in report["threads"]}
        assert int(report["ledger_bytes"]) > 0

        done = run("sfdiag", "localhost", "app", "--json", "-p", one.port)
        reports = json.loads(done.stdout)["result"]
        assert set(reports) == {one.address, two.address}
        near = [row["component"] for row in reports[one.address]["at work"]]
        far = [row["component"] for row in reports[two.address]["at work"]]
        assert (near, far) == (["app", "app:near"], ["app:far", "app:far:slow"])
        (slow,) = reports[two.address]["slow hooks"]
        assert (slow["component"], slow["type"], slow["phase"]) == (
            "app:far:slow",
            "Sleeper",
            "start",
        )
        assert float(slow["seconds"]) >= 0.4


def test_a_machine_is_checked_here_and_where_a_daemon_runs(tmp_path):
    told = {"SMARTDOMAINS_HYPERVISOR_URI": "test:///default"}
    with daemons(tmp_path, "one", "two", **told) as (one, two):
        done = run("sfdoctor", "localhost", "--json", "-p", one.port)
        report = json.loads(done.stdout)["result"]
        assert report["fit"] is True
        found = {(each["topic"], each["what"]): each for each in report["findings"]}
        port = found["ports", f"127.0.0.1:{one.port}"]
        assert (port["verdict"], port["text"]) == ("good", "used by the daemon that runs here")
        assert found["peers", f"two at {two.address}"]["verdict"] == "good"
        assert found["clock", f"two at {two.address}"]["verdict"] == "good"
        assert any(topic == "hypervisor" for topic, _ in found)
        daemon = next(each for (_, what), each in found.items() if what.startswith("daemon local-"))
        assert "good for" in daemon["text"]

        two.kill()
        file = tmp_path / "sd.toml"
        file.write_text(
            f'port = {one.port}\nstateDir = "{tmp_path}/x"\n[peers]\ntwo = "{two.address}"\n'
        )
        done = run("sfdoctor", "--config", file, **told)
        assert "used by the daemon that runs here" in done.stdout
        assert "warning  peers" in done.stdout
        assert done.stdout.rstrip().endswith("fit to be a host")


def test_a_machine_that_lacks_something_is_exit_code_1_unless_that_is_left_out(tmp_path):
    told = {"SMARTDOMAINS_HYPERVISOR_URI": "qemu+unix:///system?socket=/no/such",
            "SMARTDOMAINS_STATE_DIR": str(tmp_path)}  # fmt: skip
    done = run("sfdoctor", code=1, **told)
    assert "MISSING  hypervisor" in done.stdout
    assert "not fit to be a host" in done.stdout
    run("sfdoctor", "--skip", "hypervisor", **told)
    assert "there are: " in run("sfdoctor", "--skip", "nothing", code=2, **told).stderr
    bad = tmp_path / "bad.toml"
    bad.write_text("colour = 'red'\n")
    assert "colour" in run("sfdoctor", "--config", bad, code=2).stderr
