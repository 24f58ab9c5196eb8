"""Running commands in dom0 through its QEMU guest agent, which needs no network.

    python -m components.testbed.xen.agent SOCKET COMMAND...

runs one and ends with its exit code, passing on what it prints.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")
_GREETING_S, _GRACE_S = 15.0, 3.0
_SHORTEST_S, _LONGEST_S = 0.05, 0.5
_FOR_EVER_S = 7 * 24 * 3600.0


class AgentError(RuntimeError):
    """The agent in dom0 does not answer, refuses, or a command was not done in time."""


class _Answer(msgspec.Struct, frozen=True):
    id: int | None = None
    result: msgspec.Raw = msgspec.field(name="return", default=msgspec.Raw(b"{}"))
    error: Mapping[str, str] | None = None


class _Started(msgspec.Struct, frozen=True):
    pid: int


class _Status(msgspec.Struct, frozen=True, rename="kebab"):
    exited: bool
    exitcode: int | None = None
    signal: int | None = None
    out_data: str = ""
    err_data: str = ""
    out_truncated: bool = False
    err_truncated: bool = False


def run(
    path: Path,
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: str = "/",
    limit_s: float = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a command in dom0 to its end; blocks for at most `limit_s` seconds and a little.

    Args:
        path: Socket of the agent.
        argv: Program, looked up on the path of `environment`, and its arguments.
        environment: All its variables.
        cwd: Where it runs, as dom0 sees it.
        limit_s: Seconds after which it is killed.

    Raises:
        AgentError: Nobody answers, or the command was not done in time.
    """
    began = time.monotonic()
    end = began + limit_s + _GRACE_S
    pairs = [f"{name}={value}" for name, value in environment.items()]
    # Killed in dom0, too: nobody is left running there when we give up.
    bounded = ["--signal=KILL", f"{limit_s:g}", *argv]
    request = {
        "path": "/usr/bin/env", "arg": [f"--chdir={cwd}", *pairs, "timeout", *bounded],
        "capture-output": True,
    }  # fmt: skip
    with _connected(path, end) as agent:
        started = agent.ask("guest-exec", request, _Started, end)
    pause_s = _SHORTEST_S
    while True:
        with _connected(path, end) as agent:
            status = agent.ask("guest-exec-status", {"pid": started.pid}, _Status, end)
        if status.exited:
            break
        if time.monotonic() >= end:
            break
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, _LONGEST_S)
    killed = status.signal == signal.SIGKILL or status.exitcode == 128 + signal.SIGKILL
    if not status.exited or (killed and time.monotonic() - began >= limit_s):
        raise AgentError(f"{' '.join(argv)}: not done after {limit_s:g} s")
    if status.out_truncated or status.err_truncated:
        raise AgentError(f"{' '.join(argv)}: said more than can be passed on")
    said = (status.out_data, status.err_data)
    out, err = (base64.b64decode(text).decode(errors="replace") for text in said)
    code = status.exitcode if status.exitcode is not None else -(status.signal or 0)
    return subprocess.CompletedProcess(list(argv), code, out, err)


class _Agent:
    """A conversation with the agent; it has one at a time."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._read = b""

    def greet(self, end: float) -> None:
        """Make sure that it is there, and that what it says next is meant for us."""
        word = secrets.randbelow(2**31)
        message = {"execute": "guest-sync-delimited", "arguments": {"id": word}}
        self._line.sendall(b"\xff" + msgspec.json.encode(message) + b"\n")
        until = min(end, time.monotonic() + _GREETING_S)
        while True:
            line = self._next(until).rpartition(b"\xff")[2]
            with contextlib.suppress(msgspec.MsgspecError):
                if msgspec.json.decode(msgspec.json.decode(line, type=_Answer).result) == word:
                    return

    def ask(self, command: str, arguments: Mapping[str, object], type_: type[T], end: float) -> T:
        """Have it do one thing, and give its answer."""
        message = {"execute": command, "arguments": arguments}
        self._line.sendall(msgspec.json.encode(message) + b"\n")
        answer = msgspec.json.decode(self._next(end + _GRACE_S), type=_Answer)
        if answer.error is not None:
            raise AgentError(f"{command}: {answer.error.get('desc', 'refused')}")
        return msgspec.json.decode(answer.result, type=type_)

    def _next(self, end: float) -> bytes:
        while b"\n" not in self._read:
            left = end - time.monotonic()
            if left <= 0:
                raise AgentError("the agent in dom0 does not answer")
            self._line.settimeout(left)
            try:
                data = self._line.recv(2**16)
            except TimeoutError:
                continue
            if not data:
                raise AgentError("the emulated machine ended")
            self._read += data
        line, _, self._read = self._read.partition(b"\n")
        return line


@contextlib.contextmanager
def _connected(path: Path, end: float) -> Iterator[_Agent]:
    """Talk to the agent, one process at a time."""
    with Path(f"{path}.lock").open("w") as lock, socket.socket(socket.AF_UNIX) as line:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= end:
                    raise AgentError("the agent in dom0 was busy all the time") from error
                time.sleep(0.02)
        try:
            line.connect(str(path))
        except OSError as error:
            raise AgentError(f"the machine is not running: {error}") from error
        agent = _Agent(line)
        agent.greet(max(end, time.monotonic() + 0.1))
        yield agent


def main(argv: list[str]) -> int:
    """Run one command; gives its exit code."""
    import os  # noqa: PLC0415 - the environment is a command's business

    path, cwd, *words = argv
    environment = dict(os.environ)
    done = run(Path(path), words, environment=environment, cwd=cwd, limit_s=_FOR_EVER_S)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except AgentError as error:
        sys.exit(f"lab: error: {error}")
