"""Every exit code of the commands, as a script meets it; each with an object that says the same."""

from __future__ import annotations

import json
import signal

import pytest

from engine.core.faults import Fault, Kind
from engine.ports import free_port
from engine.testing.daemons import daemons, wait_until
from engine.testing.sabotage import Plan
from engine.wire.codec import encode
from engine.wire.messages import Welcome, failed
from engine.wire.server import Door, NodeServer, Quotas
from tests.commands.conftest import Shell

pytestmark = pytest.mark.integration


def test_0_done(sh):
    sh.json("sfping", "localhost")


def test_1_refused_or_failed_and_nothing_is_left(sh, file, tmp_path):
    file.write_text(file.read_text().replace(f'"{tmp_path}/b";', f'"{tmp_path}/b"; fail "start";'))
    error = sh.json("sfstart", "localhost", "app", file, code=1)
    assert (error["kind"], error["phase"]) == ("HookFailed", "start")
    assert error["undo"]["leftovers"] == []
    assert sh.json("sfstatus", "localhost") == []


@pytest.mark.parametrize(
    "words",
    [
        ("sfstart", "localhost"),
        ("sfstart", "localhost", "app", "x.sf", "--wait", "forever"),
        ("sfset", "localhost", "word", "5"),
        ("sfget", "localhost"),
        ("sfremove", "localhost", "app:a", "other:b"),
        ("sfupdate", "localhost", "app"),
        ("sfstop", "localhost", "--drain", "soon"),
        ("sfping", "localhost", "-c", "0"),
        ("sfcall", "localhost", "app"),
        ("sfstatus", "localhost", "--depth", "-1"),
        ("sfdrain", "localhost", "--limit", "-1"),
        ("sf", "nonsense"),
    ],
)
def test_2_bad_arguments(sh, words):
    assert "Error: " in sh(*words, code=2).stderr


@pytest.mark.parametrize("command", ["sfstart", "sfupdate"])
def test_3_the_description_is_wrong(sh, tmp_path, command):
    wrong = tmp_path / "wrong.sf"
    wrong.write_text("sfConfig extends Nothing {}")
    assert sh.json(command, "localhost", "app", wrong, code=3)["code"].startswith("SF-")


def test_3_is_also_a_value_that_does_not_fit(sh, file):
    sh("sfstart", "localhost", "app", file)
    assert sh.json("sfset", "localhost", "app:a:file", "5", code=3)["kind"] == "BadDescription"


@pytest.mark.parametrize(
    "words",
    [
        ("sfset", "localhost", "app:a", "5"), ("sfget", "localhost", "app:a"),
        ("sfremove", "localhost", "app:a"), ("sfdetach", "localhost", "app:a"),
        ("sfdetachandterminate", "localhost", "app:a"), ("sfdrain", "localhost"),
        ("sfupdate", "localhost", "app", "--revert"), ("sflog", "localhost"),
        ("sfconsole", "localhost", "app"), ("sfcall", "localhost", "app", "end", "normal"),
        ("sfterminate", "localhost", "app"), ("sfevents", "localhost"), ("sfstop", "localhost"),
    ],
)  # fmt: skip
def test_4_the_daemon_cannot_be_reached(words):
    assert Shell(free_port()).json(*words, code=4)["kind"] == "Unreachable"


def test_5_not_allowed():
    port = free_port()
    welcome = Welcome(1, "d", "n", f"127.0.0.1:{port}", "1", "running", 1, 0.0, 0)
    fault = Fault(Kind.NOT_ALLOWED, "viewers only look", "SF-SEC-003")

    def answer(verb, _message, _caller):
        return encode(welcome if verb == "hello" else failed(verb, fault))

    server = NodeServer("127.0.0.1", port, answer, Door(None, Quotas(), lambda refused: None))
    server.start()
    try:
        for words in (("sfget", "localhost", "a:b"), ("sfset", "localhost", "a:b", "5")):
            assert Shell(port).json(*words, "--insecure", code=5)["code"] == "SF-SEC-003"
    finally:
        server.close()


def test_6_the_outcome_is_unknown_and_can_be_asked_for(sh, file, tmp_path):
    stuck = f'"{tmp_path}/b"; block "terminate"; sfTerminateTimeout 3;'
    file.write_text(file.read_text().replace(f'"{tmp_path}/b";', stuck))
    sh("sfstart", "localhost", "app", file)
    error = sh.json("sfterminate", "localhost", "app", "--timeout", "0.5", code=6)
    assert error["request_id"] in error["hint"]
    sh("sfterminate", "localhost", "app", "--request-id", error["request_id"])
    assert sh.json("sfstatus", "localhost") == []


@pytest.mark.parametrize(
    "words",
    [
        ("sfset", "localhost", "no:a", "5"), ("sfget", "localhost", "no:a"),
        ("sfremove", "localhost", "no:a"), ("sfdetach", "localhost", "no:a"),
        ("sfdetachandterminate", "localhost", "no:a"), ("sfdump", "localhost", "no"),
        ("sfupdate", "localhost", "no", "--revert"), ("sfstatus", "localhost", "no", "--follow"),
    ],
)  # fmt: skip
def test_7_no_such_component(sh, words):
    assert sh.json(*words, code=7)["kind"] == "NotFound"


def test_8_the_name_is_in_use(sh, file):
    sh("sfstart", "localhost", "app", file)
    assert sh.json("sfstart", "localhost", "app", file, code=8)["kind"] == "NameInUse"


def test_9_done_but_something_is_left_with_the_reaper(tmp_path, file):
    file.write_text(file.read_text().replace('sfProcessHost "two"; ', ""))
    with daemons(tmp_path, "one") as (one,):
        sh = Shell(one.port)
        one.stop()
        one.start(sabotage=[Plan("file b", "undoing", "raise", times=1000)])
        sh("sfstart", "localhost", "app", file)
        result = sh.json("sfterminate", "localhost", "app", code=9)
        assert any("file b" in line for line in result["leftovers"])
        assert "file b" in sh("sfstatus", "localhost", "--reaper").stdout
        one.stop()
        one.start()
        wait_until(lambda: not (tmp_path / "b").exists(), what="the reaper is done")


def test_130_interrupted(sh, file):
    sh.json("sfstart", "localhost", "app", file)  # so that there are events
    with sh.begin("sfevents", "localhost", "--follow", "--json") as following:
        try:
            following.stdout.readline()
            following.send_signal(signal.SIGINT)
            out, _ = following.communicate(timeout=30)
        finally:
            following.kill()
    assert following.returncode == 130
    assert json.loads(out.splitlines()[-1])["error"]["kind"] == "Interrupted"
