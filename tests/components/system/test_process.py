"""A program as a component: started, watched, stopped in stages, taken up again."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sfdl
from components.system.control_groups import members, own_group
from components.system.filters import Lines
from components.system.program import find_program, started_ticks
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.ports import free_port
from engine.testing.kit import until
from sfdl.errors import SmartDomainsError

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
    with pytest.raises(EngineError, match="was not ready within"):
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
    try:
        client.tree("app")
    except EngineError:
        return True
    return False


async def ended(bench):
    return await until(lambda: bench.one.process.ended_application("app"))


def quoted(*words):
    return ", ".join(f'"{word}"' for word in words)


async def test_what_it_reads_is_the_text_it_is_given(bench, tmp_path):
    more = f'stdin "one two"; terminate true; logOut "{tmp_path}/out";'
    await bench.deploy(text(["cat"], more))

    assert (await ended(bench)).is_normal
    assert Path(tmp_path, "out").read_text() == "one two"


async def test_without_text_there_is_nothing_to_read(bench, tmp_path):
    await bench.deploy(text(["cat"], "terminate true;"))

    assert (await ended(bench)).is_normal


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
async def test_it_runs_as_the_user_it_is_told(bench, tmp_path):
    more = f'user "nobody"; terminate true; logOut "{tmp_path}/out";'
    await bench.deploy(text(["sh", "-c", "id -un; id -gn; echo $USER"], more))

    assert (await ended(bench)).is_normal
    assert Path(tmp_path, "out").read_text().split() == ["nobody", "nogroup", "nobody"]


async def test_its_output_becomes_attributes_and_events(bench, tmp_path):
    script = "echo listening on port 8080; echo error: disk full >&2; sleep 600"
    more = (
        'filtersOut [|[|"port ([0-9]+)", "attribute", "port"|]|];'
        'filtersErr [|[|"error: (?P<what>.*)", "event", "trouble"|]|];'
        f'logErr "{tmp_path}/err";'
    )
    await bench.deploy(text(["sh", "-c", script], more))

    await until(lambda: bench.find("p").value("port") == "8080")
    told = await until(
        lambda: [
            event
            for event in bench.holder.process.events._ring
            if getattr(event.body, "name", "") == "trouble"
        ]
    )
    assert dict(told[0].body.facts) == {"line": "error: disk full", "what": "disk full"}
    await bench.one.terminate("app")


async def test_output_that_is_only_followed_leaves_no_file(bench):
    more = 'filtersOut [|[|"x", "event", "x"|]|];'
    await bench.deploy(text(["sh", "-c", "echo x; sleep 600"], more))
    folder = bench.work / "programs"
    assert list(folder.glob("*/out"))

    await bench.one.terminate("app")

    assert list(folder.iterdir()) == []


async def test_it_is_ready_once_its_port_is_open(bench):

    port = free_port()
    script = (
        "import socket, time; time.sleep(0.3); s = socket.create_server(('127.0.0.1', PORT)); "
        "time.sleep(600)"
    ).replace("PORT", str(port))
    await bench.deploy(text(["python3", "-c", script], f"ready {port};"))

    assert bench.find("p").ready
    await bench.one.terminate("app")


NOTIFIER = (
    "import os, socket, sys, time; a = os.environ['NOTIFY_SOCKET']; "
    "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.connect(chr(0) + a[1:]); "
    "time.sleep(0.2); s.send(b'STATUS=serving'); s.send(b'READY=1'); time.sleep(600)"
)


async def test_it_is_ready_once_it_says_so_itself(bench):
    await bench.deploy(text(["python3", "-c", NOTIFIER], 'ready "notify";'))

    assert bench.find("p").ready
    assert bench.find("p").value("status") == "serving"
    await bench.one.terminate("app")


async def test_nobody_else_can_say_that_it_is_ready(bench):
    import socket

    waits = text(["sleep", "600"], 'ready "notify"; readyTimeout "1s";')
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    async def forge():
        folder = bench.work / "programs"
        await until(lambda: folder.exists() and list(folder.iterdir()))
        token = next(folder.iterdir()).name
        while True:
            sender.sendto(b"READY=1", f"\0smartdomains-{token}")
            await asyncio.sleep(0.05)

    forging = asyncio.ensure_future(forge())
    try:
        with pytest.raises(EngineError, match="was not ready within"):
            await bench.deploy(waits)
    finally:
        forging.cancel()
        sender.close()


async def test_a_program_that_ends_before_it_is_ready_fails_the_start_at_once(bench):
    with pytest.raises(EngineError, match="ended with status 4"):
        await bench.deploy(text(["sh", "-c", "exit 4"], 'ready "never";'))


async def test_it_is_started_again_whenever_it_ends(bench, tmp_path):
    script = f"echo run >> {tmp_path}/runs; sleep 0.1"
    await bench.deploy(text(["sh", "-c", script], "restart true;"))

    await until(lambda: bench.find("p").value("restarts") >= 2)
    await until(lambda: (tmp_path / "runs").read_text().count("run") >= 3)
    await bench.one.terminate("app")
    assert len(list((bench.work / "programs").iterdir())) == 0


async def test_it_waits_to_be_begun_by_hand_and_can_be_stopped_and_begun_again(bench):
    await bench.deploy(text(["sleep", "600"], "autoStart false;"))
    live = bench.find("p")
    assert live.value("pid") is None
    assert not live.ready

    await live.prim.begin()
    first = live.value("pid")
    assert live.ready
    await live.prim.stop()
    assert started_ticks(first) is None
    await live.prim.check()
    assert not live.ready
    await live.prim.begin()

    assert live.value("pid") != first
    assert live.ready
    await bench.one.terminate("app")
    assert started_ticks(live.value("pid")) is None


async def test_one_that_restarts_stays_stopped_once_stopped_by_hand(bench):
    await bench.deploy(text(["sleep", "600"], "restart true;"))
    live = bench.find("p")

    await live.prim.stop()
    await asyncio.sleep(
        0.5
    )  # more than the pause before a restart: that nothing comes has to be seen

    assert live.value("restarts") == 0
    assert started_ticks(live.value("pid")) is None
    await bench.one.terminate("app")


async def test_it_leaves_its_parent_first_if_told_to(tmp_path):
    from engine.testing.kit import engines

    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        root = sfdl.compile(text(["sh", "-c", "sleep 0.3"], "detach true;")).root
        await one.deploy("app", root)

        await until(lambda: len(one.process.apps) == 2)

        names = sorted(one.process.apps)
        assert "app" in names
        for name in names:
            await one.terminate(name)


async def test_what_it_left_behind_in_sessions_of_its_own_ends_with_it(bench, tmp_path):
    script = f"setsid sh -c 'echo $$ > {tmp_path}/left; exec sleep 600' & sleep 600"
    await bench.deploy(text(["sh", "-c", script]))
    await until(lambda: (tmp_path / "left").exists() and (tmp_path / "left").read_text().strip())
    left = int((tmp_path / "left").read_text())

    await bench.one.terminate("app")

    assert started_ticks(left) is None


@pytest.mark.skipif(own_group() is None, reason="no control groups to be made here")
async def test_a_control_group_holds_what_has_lost_its_token(bench, tmp_path):
    script = (
        f"setsid env -i /bin/sh -c 'echo $$ > {tmp_path}/left; exec /bin/sleep 600' & sleep 600"
    )
    await bench.deploy(text(["sh", "-c", script]))
    await until(lambda: (tmp_path / "left").exists() and (tmp_path / "left").read_text().strip())
    left = int((tmp_path / "left").read_text())
    effect = bench.find("p").effects[0].effect
    assert left in members(effect.group)

    await bench.one.terminate("app")

    assert started_ticks(left) is None
    assert not Path(effect.group).exists()


async def test_a_failure_of_another_component_ends_it(bench, tmp_path):
    both = text(["sh", "-c", f"echo $$ > {tmp_path}/pid; sleep 600"], f'logOut "{tmp_path}/o";')
    both = both.replace("} }", '} z extends Process { cmd ["false"]; ready "x"; } }')

    with pytest.raises(EngineError, match="false ended with status 1"):
        await bench.deploy(both)

    assert started_ticks(int((tmp_path / "pid").read_text() or 0)) is None


async def test_what_is_known_only_when_it_starts_may_be_given_by_reference(bench, tmp_path):
    known = (
        f'{HEAD}sfConfig extends Compound {{ f extends TempFile {{ text "there"; }} '
        'p extends Process { cmd LAZY words; words ["sleep", "600"]; user LAZY whom; '
        f'whom "root"; logOut LAZY log; log "{tmp_path}/log"; }} }}'
    ).replace(HEAD, HEAD + '#include "components/files.sf"\n')
    await bench.deploy(known)

    assert started_ticks(bench.find("p").value("pid")) is not None
    await bench.one.terminate("app")


BAD = {
    "cmd [];": "cmd: must be a list of strings",
    "cmd [1];": "cmd: must be a list of strings",
    "dir 3;": "has to be String",
    "env extends DATA { A extends DATA { b 1; } }": "env: A must be a string",
    'user "no-such-user-here";': "there is no user",
    "stdin 4;": "has to be String",
    "autoStart 1;": "has to be Boolean",
    "restart true; terminate true;": "restart and terminate cannot both be true",
    "restart true; detach true;": "restart and detach cannot both be true",
    "okExit [256];": "okExit: must be a list of exit statuses",
    'okExit ["0"];': "okExit: must be a list of exit statuses",
    'stopSignal "NONE";': "stopSignal: must be the name of a signal",
    "stopTimeout (-1);": "stopTimeout: must not be negative",
    'stopTimeout "10m";': "does not fit into sfTerminateTimeout",
    'readyTimeout "soon";': "readyTimeout: must be a duration",
    'ready "(";': "ready: .* must be a regular expression",
    "ready 70000;": "ready: must be a pattern of its output, a TCP port",
    'filtersOut [|"x"|];': "filtersOut: must be lists of a pattern",
    'filtersOut [|[|"(", "event", "x"|]|];': "must be a regular expression",
    'filtersOut [|[|"x", "mail", "x"|]|];': 'must say "attribute" or "event"',
    'filtersOut [|[|"x", "attribute", "sfClass"|]|];': "cannot be the name",
    'filtersErr [|[|"x", "attribute", "pid"|]|];': "has it already",
    "logOut 1;": "has to be String",
}


@pytest.mark.parametrize("wrong", BAD)
async def test_bad_attributes_are_refused_before_anything_starts(tmp_path, wrong):
    from engine.testing.kit import engines

    marker = tmp_path / "started"
    first = f'first extends Process {{ cmd ["touch", "{marker}"]; }}'
    given = "" if wrong.startswith("cmd") else 'cmd ["sleep", "600"];'
    whole = f"{HEAD}sfConfig extends Compound {{ {first} p extends Process {{ {given} {wrong} }} }}"
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        with pytest.raises((EngineError, SmartDomainsError), match=BAD[wrong]):
            await one.deploy("app", sfdl.compile(whole).root)
        assert not one.process.apps
    assert not marker.exists()


@given(
    lines=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n")), max_size=8),
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=40),
)
def test_lines_are_the_same_however_the_stream_is_cut(lines, cuts):
    data = "".join(f"{line}\n" for line in lines).encode()
    cutter, seen, at = Lines(), [], 0
    for size in cuts:
        seen += cutter.feed(data[at : at + size])
        at += size
    seen += cutter.feed(data[at:])

    assert seen + cutter.end() == lines


@pytest.mark.integration
@pytest.mark.parametrize("while_away", [True, False], ids=["while away", "afterwards"])
def test_the_exit_status_is_known_though_the_daemon_was_killed(tmp_path, while_away):
    from engine.testing.daemons import daemons, wait_until

    go = tmp_path / "go"
    script = f"while [ ! -e {go} ]; do sleep 0.05; done; exit 7"
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", sfdl.compile(text(["sh", "-c", script], "okExit [7];")).root).result()
        rows = {row.name: row.value for row in client.attributes("app:p")}
        pid = int(rows["pid"])
        one.kill()
        if while_away:
            go.touch()
            wait_until(lambda: started_ticks(pid) is None)
        one.start()
        go.touch()

        def status():
            rows = {row.name: row.value for row in client.attributes("app:p")}
            return rows.get("exitCode")

        assert wait_until(status) == "7"
        client.terminate("app", Record.normal()).result()
        client.close()


@pytest.mark.integration
def test_one_that_restarts_is_started_again_by_the_next_daemon(tmp_path):
    from engine.testing.daemons import daemons, wait_until

    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", sfdl.compile(text(["sleep", "600"], "restart true;")).root).result()

        def pid():
            return int({row.name: row.value for row in client.attributes("app:p")}["pid"])

        before = pid()
        one.kill()
        os.kill(before, signal.SIGKILL)
        one.start()

        wait_until(lambda: pid() != before and started_ticks(pid()) is not None)
        client.terminate("app", Record.normal()).result()
        client.close()


@pytest.mark.integration
@pytest.mark.parametrize("when", ["making", "made"])
def test_a_daemon_killed_while_it_starts_one_leaves_none(tmp_path, when):
    from engine.client.client import DaemonUnreachable
    from engine.testing.daemons import daemons
    from engine.testing.sabotage import Plan

    mark = f"600{os.getpid()}"
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan("Program", when, "kill")])
        client = one.client()
        with pytest.raises(DaemonUnreachable):
            client.start("app", sfdl.compile(text(["sleep", mark])).root).result()
        client.close()
        one.reap()
        one.start()

        client = one.client()
        assert [row for row in client.tree().rows if row.path == "app"] == []
        client.close()
    assert not runs("sleep", mark)


def runs(*words):
    wanted = b"\0".join(word.encode() for word in words) + b"\0"
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if entry.read_bytes() == wanted:
                return True
        except OSError:
            continue
    return False
