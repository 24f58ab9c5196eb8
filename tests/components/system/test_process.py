"""A program as a component: started, watched, stopped in stages, taken up again."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from components.system.process import find_program, started_ticks
from engine.core.faults import EngineError
from engine.testing.kit import until

HEAD = '#include "components/vm.sf"\n'


def text(words, more=""):
    listed = ", ".join(f'"{word}"' for word in words)
    return f"{HEAD}sfConfig extends Compound {{ p extends Process {{ cmd [{listed}]; {more} }} }}"


async def test_a_program_runs_in_a_session_of_its_own_and_is_gone_at_the_end(bench):
    await bench.deploy(text(["sleep", "600"]))
    pid = bench.find("p").value("pid")

    assert os.getsid(pid) == pid
    await bench.one.terminate("app")
    assert started_ticks(pid) is None


async def test_a_program_that_ignores_the_signal_is_killed_with_its_children(bench, tmp_path):
    script = f"trap : TERM; sleep 600 & echo $! > {tmp_path}/child; while true; do wait; done"
    await bench.deploy(text(["bash", "-c", script], 'stopTimeout "200ms";'))
    await until(lambda: (tmp_path / "child").exists() and (tmp_path / "child").read_text().strip())
    child = int((tmp_path / "child").read_text())

    await bench.one.terminate("app")

    await until(lambda: started_ticks(child) is None)


async def test_an_exit_status_that_is_a_failure_ends_the_application(bench):
    await bench.deploy(text(["sh", "-c", "sleep 1; exit 3"]))

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert record.type == "abnormal"
    assert "status 3" in record.description


async def test_a_listed_exit_status_is_no_failure(bench):
    await bench.deploy(text(["sh", "-c", "sleep 1; exit 3"], "okExit [3]; terminate true;"))

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert record.type == "normal"


async def test_it_is_ready_once_its_output_shows_the_pattern(bench, tmp_path):
    log = tmp_path / "out"
    script = "sleep 0.2; echo listening on 7; sleep 600"
    await bench.deploy(text(["sh", "-c", script], f'logOut "{log}"; ready "listening on [0-9]+";'))

    assert bench.find("p").ready
    assert "listening" in log.read_text()
    await bench.one.terminate("app")


async def test_it_fails_to_start_if_it_never_gets_ready(bench, tmp_path):
    more = f'logOut "{tmp_path}/out"; ready "never"; readyTimeout "200ms";'
    with pytest.raises(EngineError, match="did not show"):
        await bench.deploy(text(["sleep", "600"], more))


async def test_a_program_that_is_not_there_fails_with_its_name(bench):
    await bench.deploy(text(["sh", "-c", "sleep 1; exec no-such-program"]))

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert "127" in record.description


LATE = '} z extends Process { cmd ["sh", "-c", "sleep 1; echo x; sleep 600"]; logOut "LOG"; ready "x"; } }'


async def test_a_program_that_fails_before_all_have_started_fails_the_start(bench, tmp_path):
    late = LATE.replace("LOG", str(tmp_path / "z"))
    with pytest.raises(EngineError, match="ended before everything had started"):
        await bench.deploy(text(["false"], "terminate true;").replace("} }", late))


async def test_a_program_that_has_done_its_job_before_all_have_started_ends_them_afterwards(
    bench, tmp_path
):
    late = LATE.replace("LOG", str(tmp_path / "z"))
    await bench.deploy(text(["true"], "terminate true;").replace("} }", late))

    await until(lambda: not bench.one.process.apps)
    record = bench.one.process.ended_application("app")
    assert record.type == "normal"


async def test_variables_reach_the_program(bench, tmp_path):
    more = f'env extends DATA {{ WHO "me and you"; }} terminate true; logOut "{tmp_path}/out";'
    await bench.deploy(text(["sh", "-c", "echo $WHO; sleep 1"], more))

    await until(lambda: not bench.one.process.apps)
    assert Path(tmp_path, "out").read_text() == "me and you\n"


@pytest.mark.integration
def test_a_running_program_is_taken_up_again_after_the_daemon_was_killed(tmp_path):
    import sfdl
    from engine.core.records import Record
    from engine.testing.daemons import daemons, wait_until

    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", sfdl.compile(text(["sleep", "600"])).root).result()
        pid = int(next(row.value for row in client.attributes("app:p") if row.name == "pid"))
        one.kill()
        assert started_ticks(pid) is not None
        one.start()
        assert next(row.value for row in client.attributes("app:p") if row.name == "pid") == str(
            pid
        )
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _gone(client))
        client.start("app", sfdl.compile(text(["sleep", "600"])).root).result()
        assert client.terminate("app", Record.normal()).result().leftovers == ()
        client.close()
    assert find_program("none") is None


def _gone(client):
    rows = [row for row in client.tree().rows if row.path == "app"]
    states = {row.ready for row in client.whole_tree("app")} if rows else {False}
    if states == {True}:
        return False
    if rows:
        from engine.core.records import Record

        client.terminate("app", Record.normal()).result()
    return True
