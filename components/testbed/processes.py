"""Processes seen from outside: which ones a host holds, and whether one is still the one we started.

A process is known by its id together with its start time, so that an id used again by something
else is never mistaken for it. Everything here looks into /proc and starts nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from components.testbed.tools import ToolFailedError


class Started(msgspec.Struct, frozen=True):
    """A process somebody started.

    Attributes:
        pid: Its id, as seen from here.
        ticks: Its start time, in clock ticks since the machine booted.
    """

    pid: int
    ticks: int

    @classmethod
    def of(cls, pid: int) -> Started:
        """Identify a process that runs.

        Raises:
            ProcessLookupError: It does not.
        """
        fields = _stat(pid)
        if fields is None:
            raise ProcessLookupError(f"no process {pid}")
        return cls(pid, int(fields[19]))

    @property
    def alive(self) -> bool:
        """Say whether this very process runs; one that only waits to be reaped does not."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.ticks and fields[0] not in "ZX"

    def kill(self) -> None:
        """Kill it; harmless when it has gone."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


def is_stopped(pid: int) -> bool:
    """Say whether a process is stopped by a signal, as after SIGSTOP."""
    fields = _stat(pid)
    return fields is not None and fields[0] == "T"


def children(pid: int) -> list[int]:
    """Give the ids of a process's children; none when it has gone."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(word) for word in text.split()]


def members(init: int) -> dict[int, list[str]]:
    """Give the command line of each process in the PID namespace of a host's PID 1, by id."""
    space = pid_namespace(init)
    if space is None:
        return {}
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and pid_namespace(int(entry.name)) == space:
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes().decode(errors="replace")
                found[int(entry.name)] = words.split("\0")
    return found


def pid_namespace(pid: int) -> str | None:
    """Name the PID namespace a process is in; nothing when it has gone."""
    try:
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    except OSError:
        return None


def is_program(words: list[str], program: str) -> bool:
    """Say whether a command line runs a program whose name begins so, itself or as a script.

    Example:
        >>> is_program(["/usr/sbin/libvirtd", "-l"], "libvirtd")
        True
        >>> is_program(["/usr/bin/python3", "/opt/bin/sfdaemon"], "sfdaemon")
        True
        >>> is_program(["tail", "sfdaemon.log"], "sfdaemon")
        False
    """
    first = Path(words[0]).name
    if first.startswith("python") and len(words) > 1:
        return Path(words[1]).name == program
    return first.startswith(program)


def wait(condition: Callable[[], bool], limit_s: float, what: str) -> None:
    """Wait until a condition holds; blocks for at most `limit_s` seconds.

    Raises:
        ToolFailedError: It did not come true in time; the text says `what`.
    """
    end = time.monotonic() + limit_s
    while not condition():
        if time.monotonic() >= end:
            raise ToolFailedError(f"waited {limit_s:.0f} s for {what}")
        time.sleep(0.02)


def _stat(pid: int) -> list[str] | None:
    """Give the fields of /proc/PID/stat after the name: state first, start time at index 19."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
