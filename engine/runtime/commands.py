"""Running programs from the loop: bounded, never through a shell, and dead when we are."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence

from msgspec import Struct

from engine.core.faults import Refused, TimedOut


class Output(Struct, frozen=True):
    """What a program left: exit status (negative: killed by that signal) and both streams."""

    status: int
    stdout: bytes
    stderr: bytes


def bound_to_us(argv: Sequence[str]) -> list[str]:
    """Return the command so that it is killed when this process dies."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--", *argv] if setpriv else list(argv)


def search_path() -> str:
    """Return where programs are looked for: host tools live in folders not every user has."""
    own = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    return ":".join(dict.fromkeys([*own, "/usr/sbin", "/sbin"]))


async def run_command(
    argv: Sequence[str],
    *,
    input_: bytes = b"",
    timeout_s: float = 600.0,
    env: Mapping[str, str] | None = None,
) -> Output:
    """Run a program in its own process group and wait for it.

    When the caller is cancelled or time runs out, the whole group is killed and waited for first.

    Raises:
        Refused: There is no such program.
        TimedOut: It did not end within `timeout_s` seconds.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *bound_to_us(argv),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PATH": search_path(), **(env or {})},
        )
    except FileNotFoundError as error:
        raise Refused(f"there is no program {argv[0]}", code="SF-RUN-002") from error
    try:
        async with asyncio.timeout(timeout_s):
            stdout, stderr = await process.communicate(input_)
    except BaseException as error:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.shield(process.wait())
        if isinstance(error, TimeoutError):
            raise TimedOut(f"{argv[0]} did not end within {timeout_s:g} s") from error
        raise
    status = process.returncode if process.returncode is not None else -1
    return Output(status, stdout, stderr)
