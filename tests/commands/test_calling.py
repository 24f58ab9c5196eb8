"""Having a component do something, by `sfcall` and by the action syntax, wherever it is."""

from __future__ import annotations

import signal

import pytest

from engine.testing.daemons import wait_until

pytestmark = pytest.mark.integration

SLEEPER = """
#include "org/smartfrog/components.sf"
sfConfig extends Compound {
    bed extends Prim { sfClass "engine.testing.components.Sleeper"; }
}
"""


@pytest.mark.parametrize("name", ["app:a", "app:far:c"])
def test_it_is_done_where_the_component_is_and_the_answer_printed(sh, file, name):
    sh("sfstart", "localhost", "app", file)

    assert sh("sfcall", "localhost", name, "append", '[|"x", "y"|]').stdout == f"x\ny\n{name[-1]}\n"
    answer = sh.json("sfcall", "localhost", name, "append", "[||]")
    assert answer == {"component": name, "action": "append", "value": [name[-1]]}
    done = sh("sf", f"{name}:CALL:append:[||]")
    assert f" - SUCCESSFUL CALL {name}" in done.stdout


def test_what_cannot_be_done_is_refused_with_what_can(sh, file):
    sh("sfstart", "localhost", "app", file)

    assert (
        "does not expose fly" in sh.json("sfcall", "localhost", "app:a", "fly", code=5)["message"]
    )
    assert sh.json("sfcall", "localhost", "app:a", "append", code=1)["hint"] == "it takes: more"
    assert sh.json("sfcall", "localhost", "app:a", "append", "5", code=1)["code"] == "SF-CALL-002"
    assert (
        sh.json("sfcall", "localhost", "app:nobody", "end", "normal", code=7)["kind"] == "NotFound"
    )


def test_an_interrupt_stops_what_is_done(sh, tmp_path):
    file = tmp_path / "bed.sf"
    file.write_text(SLEEPER)
    sh("sfstart", "localhost", "app", file)
    mark = tmp_path / "mark"
    with sh.begin("sfcall", "localhost", "app:bed", "dozeOff", "300.0", str(mark)) as running:
        wait_until(mark.exists, what="it is under way")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)

    assert running.returncode == 130, out + err
    assert "interrupted: doze_off was cancelled by request" in err
    assert sh("sfcall", "localhost", "app:bed", "dozeOff", "0.0", str(mark)).stdout == "slept\n"
