"""A running program as an effect: found again by a token, ended with all it left behind."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import msgspec
from typing_extensions import override

from components.system.control_groups import make_group, members, remove_group
from components.system.following import size_of
from engine.core.faults import Busy, Refused
from engine.runtime.commands import search_path
from engine.runtime.effects import Effect, Presence, Site

TOKEN = "SMARTDOMAINS_OWNER"  # noqa: S105 - the name of a variable
BEGIN_S = 10.0
KILL_S = 5.0
NEXT_LOOK_S = 0.02

_WATCHER = """\
state=$1; token=$2; shift 2
(exec <&3 >&5 2>&6 3<&- 5>&- 6>&-; exec env SMARTDOMAINS_OWNER="$token" setsid sh -c '
group=$1; user=$2; folder=$3; shift 3
echo $$ >&4; exec 4>&-
[ -z "$group" ] || echo $$ > "$group/cgroup.procs"
cd -- "$folder" || exit 126
[ -z "$user" ] || exec setpriv --reuid "$user" --regid "$(id -g -- "$user")" --init-groups -- "$@"
exec "$@"' sh "$@")
echo $? > "$state/status.new" && mv -- "$state/status.new" "$state/status"
"""
# A shell that waits for the program and writes down how it ended, so that this is known also when
# the daemon was not there to see it. The program is in a session of its own; signals for its group do
# not reach the shell.


class Watchers:
    """The shells of this process that wait for programs; those that have ended are to be reaped."""

    def __init__(self) -> None:
        """Start without any."""
        self._pids: set[int] = set()

    def add(self, pid: int) -> None:
        """Remember one."""
        self._pids.add(pid)

    def reap(self) -> None:
        """Take the status of those that have ended."""
        for pid in list(self._pids):
            try:
                done, _ = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                done = pid
            if done:
                self._pids.discard(pid)


class Program(Effect, frozen=True):
    """A running program in a session of its own, found again by a token in its environment.

    It outlives our process. Its identity is its pid together with its start time, so that a pid
    used again by something else is never mistaken for it. It may be started anew within the same
    effect.

    Attributes:
        environment: Further variables.
        out: File for its standard output, or empty for none.
        err: File for its standard error, or empty: with its output.
        state: Folder of its own, for its exit status and, where `out` is in it, its output.
        text: What it reads from its standard input; nothing to read if not given.
        user: Name of the user it runs as; ours if empty.
        stop_signal: Number of the signal that asks it to stop.
        stop_timeout_s: Seconds it has to stop before it is killed.
        stays: The effect is there also while the program is not: it is started again.
        begins: Bytes that were in both files when it was started.
        group: Folder of its control group, where there are any.
        started_ticks: Start time in clock ticks since boot; 0 before it was started.
    """

    argv: tuple[str, ...]
    folder: str
    environment: tuple[tuple[str, str], ...]
    out: str
    err: str
    token: str
    state: str
    text: str | None = None
    user: str = ""
    stop_signal: int = signal.SIGTERM
    stop_timeout_s: float = 10.0
    stays: bool = False
    begins: tuple[int, int] = (0, 0)
    group: str = ""
    pid: int = 0
    started_ticks: int = 0

    @override
    def label(self) -> str:
        return f"program {self.argv[0]}"

    @override
    async def look(self, at: Site) -> Presence:
        if await at.blocking(self.find) is not None or self.status() is not None:
            return Presence.OURS
        left = self.stays and Path(self.state).exists()
        return Presence.OURS if left else Presence.ABSENT

    @override
    async def make(self, at: Site) -> Self:
        known = await at.blocking(self.find)
        if known is not None:
            return msgspec.structs.replace(self, pid=known[0], started_ticks=known[1])
        group = await at.blocking(make_group, f"smartdomains-{self.token}")
        return await at.blocking(
            msgspec.structs.replace(self, group=group).start, at.service(Watchers)
        )

    def start(self, watchers: Watchers) -> Self:
        """Start it, for the first time or again; return it with its pid. Blocks.

        Raises:
            Refused: It cannot be started.
        """
        Path(self.state).mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(self.state, "status").unlink(missing_ok=True)
        if self.group:
            make_group(Path(self.group).name)
        watchers.reap()
        out, err = self.files()
        begins = (size_of(out), size_of(err))
        try:
            pid = self._spawn(watchers)
        except OSError as error:
            raise Refused(
                f"{self.argv[0]} cannot be started: {error.strerror}", code="SF-PROC-001"
            ) from error
        return msgspec.structs.replace(
            self, pid=pid, started_ticks=started_ticks(pid) or 0, begins=begins
        )

    def _variables(self) -> dict[str, str]:
        given = dict(os.environ)
        given.pop("NOTIFY_SOCKET", None)  # the daemon's own: it must not speak for us
        return {**given, "PATH": search_path(), **dict(self.environment)}

    def _spawn(self, watchers: Watchers) -> int:
        words = (
            "sh",
            "-c",
            _WATCHER,
            "sh",
            self.state,
            self.token,
            self.group,
            self.user,
            self.folder,
        )
        with contextlib.ExitStack() as stack:

            def high(descriptor: int) -> int:
                """Move a descriptor away from those the shell is given."""
                moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 20)
                os.close(descriptor)
                stack.callback(os.close, moved)
                return moved

            null = high(os.open("/dev/null", os.O_RDWR))
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            out, err = (high(os.open(path or "/dev/null", flags, 0o600)) for path in self.files())
            read, write = os.pipe()
            answer, say = high(read), high(write)
            given = null if self.text is None else high(_in_memory(self.text))
            places = ((null, 0), (null, 1), (null, 2), (given, 3), (say, 4), (out, 5), (err, 6))
            watcher = os.posix_spawn(
                "/bin/sh", (*words, *self.argv), self._variables(), setsid=True,
                file_actions=[(os.POSIX_SPAWN_DUP2, one, two) for one, two in places],
            )  # fmt: skip
            watchers.add(watcher)
            ready, _, _ = select.select([answer], [], [], BEGIN_S)
            text = os.read(answer, 64) if ready else b""
        if not text.strip().isdigit():
            raise Refused(f"{self.argv[0]} cannot be started", code="SF-PROC-001")
        return int(text)

    def files(self) -> tuple[str, str]:
        """Return the files of both streams."""
        return self.out, self.err or self.out

    def find(self) -> tuple[int, int] | None:
        """Return pid and start time if it runs; blocks."""
        if self.pid and started_ticks(self.pid) == self.started_ticks:
            return self.pid, self.started_ticks
        return find_program(self.token)

    def status(self) -> int | None:
        """Return its exit status if it has ended and was seen to; 128 and more: by a signal."""
        try:
            return int(Path(self.state, "status").read_text())
        except (OSError, ValueError):
            return None

    @override
    async def undo(self, at: Site) -> None:
        """Ask it to stop; kill what is left of it after a while."""
        await at.blocking(self.end)
        await at.blocking(remove_group, self.group)
        at.service(Watchers).reap()
        await at.blocking(lambda: shutil.rmtree(self.state, ignore_errors=True))

    def end(self) -> None:
        """Ask it to stop, and kill all it left behind; blocks up to its time and five seconds.

        Raises:
            Busy: Something of it cannot be killed.
        """
        left = self._left()
        if left and self.stop_timeout_s > 0:
            self._signal_all(self.stop_signal, left)
            self._wait(self.stop_timeout_s)
        until = time.monotonic() + KILL_S
        while left := self._left():
            if time.monotonic() > until:
                raise Busy(f"{self.label()}: process {min(left)} cannot be killed")
            self._signal_all(signal.SIGKILL, left)
            time.sleep(NEXT_LOOK_S)

    def _wait(self, seconds: float) -> None:
        """Wait until the program itself has ended."""
        main = self.find()
        until = time.monotonic() + seconds
        while main is not None and time.monotonic() < until:
            if started_ticks(main[0]) != main[1]:
                return
            time.sleep(NEXT_LOOK_S)

    def _left(self) -> set[int]:
        """Return every process of it, by its token and by its control group."""
        found = {pid for pid, _ in carriers(self.token)} | set(members(self.group))
        main = self.pid if self.pid and started_ticks(self.pid) == self.started_ticks else 0
        return {pid for pid in found | {main} if pid and started_ticks(pid) is not None}

    def _signal_all(self, number: int, left: set[int]) -> None:
        """Signal the process groups of those, and each that is not the leader of one."""
        groups = set()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                groups.add(os.getpgid(pid))
        for group in groups & left:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                if os.getpgid(pid) not in left:
                    os.kill(pid, number)


def _in_memory(text: str) -> int:
    descriptor = os.memfd_create("stdin", os.MFD_CLOEXEC)
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def started_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; nothing if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def carriers(token: str) -> Iterator[tuple[int, int]]:
    """Give pid and start time of every process that carries a token; blocks."""
    mark = f"{TOKEN}={token}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            carries = mark in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        ticks = started_ticks(int(entry.name)) if carries else None
        if ticks is not None:
            yield int(entry.name), ticks


def find_program(token: str) -> tuple[int, int] | None:
    """Return pid and start time of the first session leader that carries a token; blocks."""
    found = []
    for pid, ticks in carriers(token):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(pid) == pid:
                found.append((ticks, pid))
    return (min(found)[1], min(found)[0]) if found else None
