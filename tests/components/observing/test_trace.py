"""`Trace`: transitions as lines, of the sub-tree asked for and nothing else."""

from __future__ import annotations

import pytest

import sfdl
from engine.core.faults import EngineError
from engine.testing.kit import begin, engines, until

HEAD = """
#include "org/smartfrog/components.sf"
#include "components/observing.sf"
Maker extends Prim { sfClass "engine.testing.components.FileMaker"; }
"""


def compiled(text):
    return sfdl.compile(f"{HEAD}sfConfig extends Compound {{ {text} }}").root


def words(file):
    """Name and state of each line."""
    return [tuple(line.split(" ", 2)[1:]) for line in file.read_text().splitlines()]


async def test_it_writes_what_happens_in_its_application_from_the_beginning(tmp_path):
    file = tmp_path / "trace"
    trace = f'sfSyncTerminate true; trace extends Trace {{ output "{file}"; }}'
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("other", compiled(f'b extends Maker {{ file "{tmp_path}/b"; }}'))
        for _life in range(2):
            file.unlink(missing_ok=True)
            await engine.deploy(
                "app", compiled(f'{trace} a extends Maker {{ file "{tmp_path}/a"; }}')
            )
            await until(lambda: ("app", "started") in words(file))
            seen = words(file)
            states = ["created", "deploying", "deployed", "starting", "started"]
            assert [state for name, state in seen if name == "app"] == states
            assert [state for name, state in seen if name == "app:a"] == states
            assert not any(name.startswith("other") for name, _ in seen)
            await engine.terminate("app")
            ends = [each for each in words(file) if each[1].startswith("terminat")]
            assert ends[0] == ("app", "terminating: normal at app: test over")
            assert ("app:a", "terminated: normal at app: test over") in ends


async def test_hooks_and_scope_choose(tmp_path):
    file = tmp_path / "trace"
    more = f'output "{file}"; hooks [|"start"|]; scope LAZY ATTRIB in;'
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        tree = f'in extends Compound {{ a extends Maker {{ file "{tmp_path}/a"; }} }}'
        await engine.deploy(
            "app",
            compiled(f'trace extends Trace {{ {more} }} {tree} b extends Maker {{ file "{tmp_path}/b"; }}'),
        )  # fmt: skip
        await until(lambda: file.exists() and ("app:in", "started") in words(file))
        assert words(file) == [
            ("app:in", "starting"), ("app:in:a", "starting"), ("app:in:a", "started"),
            ("app:in", "started"),
        ]  # fmt: skip
        await engine.terminate("app")
        assert len(words(file)) == 4


async def test_the_word_process_is_everything_that_happens_from_then_on(tmp_path):
    file = tmp_path / "trace"
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy(
            "watcher", compiled(f'trace extends Trace {{ output "{file}"; scope "process"; }}')
        )
        await engine.deploy("app", compiled(f'a extends Maker {{ file "{tmp_path}/a"; }}'))
        await engine.terminate("app")
        await until(lambda: any(name == "app:a" and "terminated" in s for name, s in words(file)))
        await engine.terminate("watcher")


async def test_without_a_file_it_goes_to_the_log(tmp_path):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("app", compiled("trace extends Trace;"))
        live = next(e for e in engine.process.lives.values() if e.name == "trace")
        await until(lambda: live.has("lines") and live.value("lines") >= 10)
        await engine.terminate("app")


async def test_it_goes_on_after_a_restart_of_the_daemon(tmp_path):
    file = tmp_path / "trace"
    async with engines(tmp_path / "state", threads=True) as (network, (engine,)):
        await engine.deploy("app", compiled(f'trace extends Trace {{ output "{file}"; }}'))
        await until(lambda: ("app", "started") in words(file))
        network.kill(engine.process)
        again = await begin(
            network, tmp_path / "state" / "host1", "host1", "host1:3800", {"host1": "host1:3800"}
        )
        try:
            await again.terminate("app")
        finally:
            network.verbs.pop(again.process.address, None)
            await again.process.stop()
        states = [state for name, state in words(file) if name == "app"]
        assert states[4] == "started"
        assert states[5].startswith("terminating")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('hooks [|"explode"|];', "hooks: must be some of"),
        ("hooks [||];", "hooks: must be some of"),
        ('scope "galaxy";', "scope must be a LAZY reference or the word process"),
        ("scope 7;", "scope: must be a reference"),
        ('output "/nowhere/at/all";', "cannot be written to"),
    ],
)
async def test_a_wrong_one_is_refused_before_anything_starts(tmp_path, text, said):
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        made = f'a extends Maker {{ file "{tmp_path}/a"; }}'
        with pytest.raises((EngineError, sfdl.CompileError), match=said):
            await engine.deploy("app", compiled(f"{made} trace extends Trace {{ {text} }}"))
        assert not engine.process.lives
        assert not (tmp_path / "a").exists()
