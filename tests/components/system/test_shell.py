"""One shell runs scripts one at a time and says what each left."""

from __future__ import annotations

import asyncio
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.system.shell import Shells
from engine.core.faults import Refused, TimedOut
from engine.runtime.commands import run_command

SHELL = '#include "components/vm.sf"\nsfConfig extends Compound { sh extends BashShell; }'


async def test_scripts_leave_status_and_both_streams(bench):
    await bench.deploy(SHELL)
    shell = bench.find("sh").prim

    output = await shell.execute("echo out; echo err >&2; false", 10.0)

    assert (output.status, output.stdout, output.stderr) == (1, b"out\n", b"err\n")
    assert (await shell.execute("printf none", 10.0)).stdout == b"none"
    await bench.one.terminate("app")


async def test_scripts_take_turns_and_share_one_shell(bench):
    await bench.deploy(SHELL)
    shell = bench.find("sh").prim
    await shell.execute("n=0", 10.0)

    await asyncio.gather(*(shell.execute("n=$((n+1))", 10.0) for _ in range(20)))

    assert (await shell.execute("echo $n", 10.0)).stdout == b"20\n"
    await bench.one.terminate("app")


async def test_a_script_that_hangs_is_ended_and_takes_the_shell_with_it(bench):
    await bench.deploy(SHELL)
    shell = bench.find("sh").prim
    pid = int((await shell.execute("echo $$", 10.0)).stdout)

    with pytest.raises(TimedOut, match="did not end"):
        await shell.execute("sleep 600", 0.3)
    with pytest.raises(Refused, match="has ended"):
        await shell.execute("true", 1.0)

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await bench.one.terminate("app")


async def test_broken_syntax_is_a_status_not_the_end_of_the_shell(bench):
    await bench.deploy(SHELL)
    shell = bench.find("sh").prim

    assert (await shell.execute("echo 'unclosed", 10.0)).status != 0
    assert (await shell.execute("echo fine", 10.0)).stdout == b"fine\n"
    await bench.one.terminate("app")


async def test_the_shell_is_gone_with_its_component(bench):
    await bench.deploy(SHELL)
    pid = int((await bench.find("sh").prim.execute("echo $$", 10.0)).stdout)

    await bench.one.terminate("app")

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    words=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1),
        min_size=1,
        max_size=4,
    )
)
async def test_hostile_words_reach_a_program_unchanged_both_ways(words):
    import shlex

    shells = Shells()
    await shells.open("t", ("/bin/bash",))
    command = ["printf", "%s\\0", *words]
    wanted = b"".join(word.encode() + b"\0" for word in words)
    try:
        direct = await run_command(command, timeout_s=10)
        through = await shells.running("t").run(shlex.join(command), 10.0)
    finally:
        await shells.close()
    assert direct.stdout == wanted
    assert through.stdout == wanted
