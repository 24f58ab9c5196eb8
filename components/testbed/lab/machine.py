"""Switching hosts on and off: namespaces, their PID 1, the wires between them."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from components.testbed import host_init
from components.testbed.lab import wire
from components.testbed.lab.faults import Slow
from components.testbed.lab.store import LabError, Running
from components.testbed.processes import Started, children, wait
from components.testbed.tools import ToolFailedError, run, tool

FABRIC = "fabric"
_END_S = 20.0


class Starting:
    """A host whose namespaces exist and whose PID 1 waits for `go`.

    Should we die before we say it, the host ends by itself: so nothing runs that is not written
    down, provided that it is written down before `go`.
    """

    def __init__(self, folder: Path, plan: Mapping[str, object]) -> None:
        """Start it.

        Raises:
            LabError: It ended at once.
        """
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "up").unlink(missing_ok=True)
        file = folder / "plan.json"
        file.write_bytes(msgspec.json.encode({**plan, "directory": str(folder), "waits": True}))
        self._folder = folder
        spaces = ["--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "--mount-proc"]
        argv = [
            *(tool("env"), "--chdir=/", tool("unshare"), "--kill-child=KILL"),
            *("--propagation", "private", *spaces),
            *(sys.executable, "-I", "-S", host_init.__file__, str(file)),
        ]
        go, self._go = os.pipe2(os.O_CLOEXEC)
        log = os.open(folder / "host.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        try:
            actions = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((go, log, log))]
            environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
            pid = os.posix_spawn(argv[0], argv, environment, file_actions=actions, setsid=True)
        finally:
            os.close(go)
            os.close(log)
        try:
            outer = Started.of(pid)
            wait(lambda: bool(children(pid)) or not outer.alive, _END_S, f"PID 1 of {folder.name}")
            self.running = Running(outer, Started.of(children(pid)[0]))
        except (ProcessLookupError, IndexError, ToolFailedError) as error:
            self.close()
            raise LabError(f"{folder.name} did not come up: {self.last_words()}") from error

    def go(self) -> None:
        """Let it run."""
        with contextlib.suppress(BrokenPipeError):
            os.write(self._go, b"go\n")
        self.close()

    def close(self) -> None:
        """Close its standard input; before `go` that ends it."""
        with contextlib.suppress(OSError):
            os.close(self._go)

    @property
    def up(self) -> bool:
        """Say whether its view of the machine is made.

        Raises:
            LabError: It has ended.
        """
        if not self.running.outer.alive:
            raise LabError(f"{self._folder.name} did not come up: {self.last_words()}")
        return (self._folder / "up").exists()

    def last_words(self) -> str:
        """Give the end of its logs, on one line."""
        texts = []
        for log in ("host.log", "daemon.log", "log/libvirtd.log"):
            with contextlib.suppress(OSError):
                texts.append((self._folder / log).read_text(errors="replace")[-800:])
        return " ".join(" ".join(texts).split()) or "it said nothing"


def inside(
    init: int, argv: Sequence[str], *, cwd: str, environment: Mapping[str, str]
) -> list[str]:
    """Give the command that runs another in all namespaces of a host, and ends it with ours.

    Args:
        init: The host's PID 1.
        argv: What to run.
        cwd: Where, as both sides see it.
        environment: Variables to set.
    """
    pairs = [f"{name}={value}" for name, value in environment.items()]
    return [
        *(tool("nsenter"), f"--target={init}", "--mount", "--uts", "--ipc", "--net", "--pid", "--"),
        *(
            tool("env"),
            f"--chdir={cwd}",
            *pairs,
            tool("setpriv"),
            "--pdeathsig",
            "KILL",
            "--",
            *argv,
        ),
    ]


def in_network(init: int, *argv: str, stdin: str = "") -> str:
    """Run one of this machine's programs in a host's network, and give what it printed.

    Raises:
        ToolFailedError: It failed.
    """
    return run(["nsenter", f"--net=/proc/{init}/ns/net", *argv], stdin=stdin.encode(), limit_s=20)


def plug_in(fabric: int, init: int, number: int) -> None:
    """Lay a cable from a host, as its eth0, to a port of the fabric's bridge."""
    unplug(fabric, number)
    port = f"up{number}"
    lines = [
        f"link add {port} type veth peer name eth0 netns {init}",
        f"link set {port} master br0 up",
    ]
    in_network(fabric, "ip", "-batch", "-", stdin="\n".join(lines))


def unplug(fabric: int, number: int) -> None:
    """Pull a host's cable; harmless if there is none.

    The kernel takes a while to clear away a network nobody is in, and answers pings meanwhile.
    """
    with contextlib.suppress(ToolFailedError):
        in_network(fabric, "ip", "link", "del", f"up{number}")


def replace_wire(
    fabric: int, number: int, old: Started | None, slow: Slow | None
) -> Started | None:
    """Put a bad wire before a host's port, or none; gives its process.

    Raises:
        LabError: It did not start.
    """
    port, tap = f"up{number}", f"slow{number}"
    if old is not None:
        end([old])
        lines = f"link set {port} master br0\n"
        with contextlib.suppress(ToolFailedError):  # the host is off
            in_network(fabric, "ip", "-batch", "-", stdin=lines)
    if slow is None:
        return None
    script = [sys.executable, "-I", "-S", wire.__file__]
    words = [port, tap, str(slow.delay_ms), str(slow.loss), str(slow.duplicate)]
    argv = inside(fabric, [*script, *words], cwd="/", environment={})
    return _start_wire(argv)


def _start_wire(argv: Sequence[str]) -> Started:
    """Start a wire; it outlives us, and ends with the fabric."""
    # What enters the fabric stays outside as the parent of the wire, which ends with it.
    said, say = os.pipe2(os.O_CLOEXEC)
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    try:
        actions = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((null, say, say))]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
        pid = os.posix_spawn(argv[0], list(argv), environment, file_actions=actions, setsid=True)
    finally:
        os.close(say)
        os.close(null)
    with open(said, encoding="utf-8", errors="replace") as lines:  # noqa: PTH123 - a descriptor
        words = lines.readline()
        if words != "ready\n":
            raise LabError(f"the bad wire did not start: {(words + lines.read(2000)).strip()}")
    return Started.of(pid)


def end(processes: Sequence[Started]) -> None:
    """Kill processes and wait until they and all they hold are gone.

    Raises:
        LabError: One of them is still there after a while.
    """
    for process in processes:
        process.kill()
    try:
        wait(
            lambda: not any(process.alive for process in processes), _END_S, "its processes to end"
        )
    except ToolFailedError as error:
        raise LabError(str(error)) from error


def detach_loops(folder: Path) -> None:
    """Detach loop devices over files below a folder: they belong to the machine, not to a host."""
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError, ToolFailedError):
            if backing.read_text(encoding="utf-8").startswith(f"{folder}/"):
                run(["losetup", "--detach", f"/dev/{backing.parts[3]}"], limit_s=20)
