"""The report of a process, and the numbers behind it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from engine.core.faults import EngineError
from engine.runtime.report import doing
from engine.runtime.tally import LATELY_S, SLOWEST, SlowHook, SlowHooks
from engine.runtime.workers import ThreadWorkers
from engine.settings import Settings, SettingsError, load, told
from engine.testing.kit import engines, until, virtual_time
from engine.wire.messages import Ping, ReadDiagnosis

GROUP = "engine.compound.Compound"
SLEEPER = "engine.testing.components.Sleeper"


async def tables(engine, path=""):
    found = await engine.process.reader.read(ReadDiagnosis(whole=True, path=path))
    return {table.name: table for table in found.tables}


def hook(path, seconds, at_s=0.0, phase="start"):
    return SlowHook(path, "T", phase, seconds, at_s)


def test_the_table_of_slow_hooks_is_bounded_and_keeps_the_slowest():
    hooks = SlowHooks()
    for number in range(3 * SLOWEST):
        hooks.add(hook(f"app:{number}", 1.0 + number))
    hooks.add(hook("app:quick", 0.01))

    rows = hooks.rows(0.0)

    assert len(rows) == SLOWEST
    assert [row.path for row in rows[:2]] == [f"app:{3 * SLOWEST - 1}", f"app:{3 * SLOWEST - 2}"]


def test_a_slow_hook_is_one_row_with_its_longest_time_and_is_forgotten_after_an_hour():
    hooks = SlowHooks()
    for seconds, at_s in ((1.0, 0.0), (3.0, 10.0), (2.0, 20.0)):
        hooks.add(hook("app", seconds, at_s))
    (row,) = hooks.rows(20.0)
    assert (row.seconds, row.at_s, row.times) == (3.0, 10.0, 3)
    assert hooks.rows(10.0 + LATELY_S) == []
    for number in range(2 * SLOWEST):
        hooks.add(hook(f"new:{number}", 0.5, 2 * LATELY_S))
    assert {row.path for row in hooks.rows(2 * LATELY_S)} <= {f"new:{n}" for n in range(128)}
    assert len(hooks.rows(2 * LATELY_S)) == SLOWEST


def test_operations_phases_restarts_and_slow_hooks_are_counted(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, two)):
            maker = "engine.testing.components.FileMaker"
            far = {"sfClass": GROUP, "sfProcessHost": "host2",
                   "x": {"sfClass": maker, "file": str(tmp_path / "f")}}  # fmt: skip
            await one.deploy("app", {"sfClass": GROUP, "far": far})
            with pytest.raises(EngineError):
                await one.deploy(
                    "bad", {"sfClass": GROUP, "x": {"sfClass": maker, "file": "/no/f"}}
                )
            with pytest.raises(EngineError):
                await one.submit(Ping("nothing"))
            await one.terminate("app")

            tally = one.process.tally
            assert tally.operations["create", "done"] == 1
            assert sum(n for (kind, result), n in tally.operations.items()
                       if kind == "create" and result != "done") == 1  # fmt: skip
            assert tally.operations["ping", "NotFound"] == 1
            assert set(tally.phases) == {"create", "deploy", "start", "terminate"}
            assert two.process.tally.phases["terminate"].count == 1

            found = await tables(one)
            (peer,) = found["peers"].rows
            assert peer[:2] == ("host2", "host2:3800")
            assert float(peer[2]) >= 0
            assert peer[4] == ""

    virtual_time(story())


def test_a_peer_that_does_not_answer_says_since_when_and_why(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (network, (one, _two)):
            await one.process.peers.hello("host2:3800")
            network.sever(one.process.address, "host2:3800")
            await asyncio.sleep(30)
            with pytest.raises(EngineError):
                await one.process.peers.hello("host2:3800")
            (peer,) = (await tables(one))["peers"].rows
            assert 29 < float(peer[2]) < 40
            assert "refused" in peer[4]

    virtual_time(story())


def test_a_report_on_a_component_holds_only_what_is_about_it(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            await one.deploy("app", {"sfClass": GROUP, "a": {"sfClass": SLEEPER}})
            await one.deploy("apple", {"sfClass": GROUP})
            for path in ("app:a", "apple"):
                one.process.tally.hooks.add(hook(path, 2.0))

            found = await tables(one, "app")

            assert set(found) == {"operations", "slow hooks", "reaper", "at work"}
            assert [row[0] for row in found["slow hooks"].rows] == ["app:a"]
            assert [row[0] for row in found["at work"].rows] == ["app", "app:a"]

    virtual_time(story())


async def test_a_thread_whose_caller_gave_up_is_counted_until_it_returns():
    workers = ThreadWorkers(2)
    release, begun = threading.Event(), threading.Event()

    def hang():
        begun.set()
        release.wait(30)

    tasks = [asyncio.ensure_future(workers.run(hang, pending=set())) for _ in range(3)]
    try:
        await asyncio.to_thread(begun.wait, 30)
        usage = workers.usage()
        assert (usage.size, usage.busy, usage.waiting, usage.left) == (2, 2, 1, 0)
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])
        assert workers.usage().left == 1
    finally:
        release.set()
    try:
        await asyncio.wait(tasks)
        await until(lambda: workers.usage().left == 0)
        await until(lambda: workers.usage().busy == 0)
    finally:
        workers.close()


def test_what_a_thread_does_is_said_in_our_own_code_if_it_is_there():
    import sys

    assert doing(None) == "ending"
    assert "test_what_a_thread_does" in doing(sys._getframe())


def test_each_setting_says_where_it_came_from(tmp_path):
    file = tmp_path / "sd.toml"
    file.write_text('node = "n"\nport = 4000\n')
    settings = load(
        file, environment={"SMARTDOMAINS_PORT": "4001"}, options={"community": "c", "bind": None}
    )
    rows = {name: (value, origin) for name, value, origin in told(settings)}
    assert rows["node"] == ("n", str(file))
    assert rows["port"] == ("4001", "SMARTDOMAINS_PORT")
    assert rows["community"] == ("c", "command line")
    assert rows["bind"] == ("", "default")
    assert "origins" not in rows
    assert set(rows) | {"origins"} == set(Settings.__struct_fields__)


@pytest.mark.parametrize("word", ["origins", "Origins"])
def test_where_settings_come_from_cannot_be_set(tmp_path, word):
    file = tmp_path / "sd.toml"
    file.write_text(f"[{word}]\nport = 'x'\n")
    with pytest.raises(SettingsError):
        load(file, environment={"SMARTDOMAINS_ORIGINS": "port=x"})
    assert load(environment={"SMARTDOMAINS_ORIGINS": "port=x"}).origins == {}
