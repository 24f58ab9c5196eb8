"""A libvirtd of our own, with bridge br0, that sees none of the machine's own and leaves nothing.

It runs in mount, UTS, IPC, PID and network namespaces of its own, which have no names outside: when
its PID 1 ends, for whatever reason, the kernel ends libvirtd, its guests, mounts, taps and bridge.

    with PrivateLibvirtd(directory) as host:
        ... connect to host.uri ...

From a shell: `python -m components.testbed.private_libvirtd --dir DIR` prints `ready URI`, and
stops on SIGTERM, SIGINT, or when its standard input closes; in a script's background, where that is
/dev/null, when the script has ended.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import secrets
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Self

import msgspec

from components.testbed import host_init
from components.testbed.processes import children, is_program, members, wait
from components.testbed.tools import ToolFailedError, run, tool

_SOCKET_PATH_MAX = 107
"""Longest path of a UNIX socket, in bytes."""


class PrivateLibvirtd:
    """One host of the test bed. Needs root. All methods block; use it from one thread.

    Attributes:
        name: Its host name, different for every object.
        directory: Its files: configuration, logs, sockets, guests' logs. Left to the caller.
    """

    def __init__(
        self, directory: Path, *, address: str = "10.77.0.1/24", as_root: bool = True
    ) -> None:
        """Prepare a host; nothing is made yet.

        Args:
            directory: Short enough for a socket below it; made when it is not there.
            address: Of its bridge br0, with prefix. Networks of different hosts do not touch.
            as_root: QEMU runs as root and files stay whose they are; else as Debian has it: as a user of
                its own, to whom libvirt gives the files of a guest while that runs.

        Raises:
            ValueError: The directory's path is too long.
        """
        self.name = f"sd-{secrets.token_hex(3)}"
        self.directory = directory.absolute()
        self._address = address
        self._as_root = as_root
        self._uuid = str(uuid.uuid4())
        self._process: subprocess.Popen[bytes] | None = None
        if len(os.fsencode(self._socket)) > _SOCKET_PATH_MAX:
            raise ValueError(f"{self._socket}: too long for a socket; choose a shorter directory")

    @property
    def _socket(self) -> Path:
        return self.directory / "run/libvirt-sock"

    @property
    def uri(self) -> str:
        """Where libvirt reaches it, from anywhere on this machine."""
        return f"qemu+unix:///system?socket={self._socket}"

    @property
    def running(self) -> bool:
        """Say whether the host is on, whatever libvirtd does."""
        return self._process is not None and self._process.poll() is None

    def start(self, *, limit_s: float = 60) -> None:
        """Turn the host on, and wait until libvirt answers.

        Raises:
            ToolFailedError: It did not answer within `limit_s` seconds, and is off again.
            MissingToolError: A program is not installed.
            RuntimeError: It is on already.
        """
        if self.running:
            raise RuntimeError(f"{self.name} is on already")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._socket.unlink(missing_ok=True)
        (self.directory / "plan.json").write_bytes(msgspec.json.encode(self._plan()))
        namespaces = ["--mount", "--uts", "--ipc", "--pid", "--net", "--fork", "--mount-proc"]
        # When its starter dies, however it dies, its standard input closes, and it ends.
        with (self.directory / "host.log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(tool("unshare"), "--kill-child=KILL", "--propagation", "private"),
                    *namespaces,
                    *(sys.executable, "-I", "-S", host_init.__file__),
                    str(self.directory / "plan.json"),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait_until_answering(limit_s)
        except BaseException:
            self.crash()
            raise

    def _plan(self) -> Mapping[str, object]:
        return {
            "name": self.name, "directory": str(self.directory), "waits": False, "ends": True,
            "bridge": [self._address, "52:54:00:4d:00:01"], "port": None, "tap": None,
            "hosts": None,
            "libvirt": {"uuid": self._uuid, "address": "", "as_root": self._as_root},
            "services": [],
        }  # fmt: skip

    def stop(self) -> None:
        """Turn the host off: libvirtd in good order, then all that is left. Harmless twice."""
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        self.crash()

    def crash(self) -> None:
        """Cut the host's power: libvirtd and guests end at once. Harmless when it is off."""
        process, self._process = self._process, None
        if process is None:
            return
        # `unshare` waits for the host's PID 1, and that is gone only when all its processes are.
        for pid in children(process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._socket.unlink(missing_ok=True)

    def restart_libvirtd(self, *, limit_s: float = 60) -> None:
        """Kill libvirtd and wait until its successor answers; guests live on.

        Raises:
            ToolFailedError: No successor answered within `limit_s` seconds.
        """
        before = self.libvirtd_pid()
        os.kill(before, signal.SIGKILL)
        wait(lambda: self._successor_of(before), limit_s, "a new libvirtd")
        self._wait_until_answering(limit_s)

    def _successor_of(self, before: int) -> bool:
        pids = [pid for pid, words in self._processes().items() if is_program(words, "libvirtd")]
        return bool(pids) and before not in pids and self._socket.exists()

    def libvirtd_pid(self) -> int:
        """Give libvirtd's process id, as seen from outside.

        Raises:
            ProcessLookupError: There is none.
        """
        for pid, words in self._processes().items():
            if is_program(words, "libvirtd"):
                return pid
        raise ProcessLookupError(f"no libvirtd in {self.name}")

    def qemu_pids(self) -> Mapping[str, int]:
        """Give the process ids of the guests, as seen from outside, by domain name."""
        found = {}
        for pid, words in self._processes().items():
            if is_program(words, "qemu-system") and (
                name := re.search(r"guest=([^,]+)", " ".join(words))
            ):
                found[name[1]] = pid
        return found

    def pids(self) -> list[int]:
        """Give all process ids of the host, as seen from outside; empty when it is off."""
        return sorted(self._processes())

    def _processes(self) -> dict[int, list[str]]:
        """Give the command line of each process in the host's PID namespace."""
        if self._process is None:
            return {}
        init = children(self._process.pid)
        return members(init[0]) if init else {}

    def _wait_until_answering(self, limit_s: float) -> None:
        end = time.monotonic() + limit_s
        wait(lambda: self._socket.exists() or not self.running, limit_s, "libvirtd's socket")
        if not self.running:
            raise ToolFailedError(f"{self.name} did not come up: {self._last_words()}")
        try:
            # The socket is there before anybody listens to it; this asks the daemon itself.
            wait(lambda: answers(self.uri), end - time.monotonic(), "libvirtd's first answer")
        except ToolFailedError as error:
            raise ToolFailedError(f"{error}; {self._last_words()}") from None

    def _last_words(self) -> str:
        texts = []
        for log in ("host.log", "log/libvirtd.log"):
            with contextlib.suppress(OSError):
                texts.append((self.directory / log).read_text(errors="replace")[-1000:])
        return " ".join(" ".join(texts).split())

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def answers(uri: str) -> bool:
    """Ask libvirtd itself, not the library, whether it answers at a URI."""
    try:
        run(["virsh", "-c", uri, "version"], limit_s=30)
    except ToolFailedError:
        return False
    return True


def _wait_for_the_end(parent: int) -> None:
    """Return when standard input closes; if it is /dev/null, when our parent has gone."""
    if stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode) and not sys.stdin.isatty():
        while os.getppid() == parent:
            time.sleep(0.2)
    else:
        sys.stdin.buffer.read()


def main(argv: list[str] | None = None) -> int:
    """Run one host until told to stop; the command `python -m ...private_libvirtd`."""
    parser = argparse.ArgumentParser(description="Run a private libvirtd until stdin closes.")
    parser.add_argument("--dir", type=Path, required=True, help="where its files go; a short path")
    directory: Path = parser.parse_args(argv).dir
    parent = os.getppid()  # before anybody is told that we are ready, and may go

    def stop(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    try:
        with PrivateLibvirtd(directory) as host:
            sys.stdout.write(f"ready {host.uri}\n")
            sys.stdout.flush()
            _wait_for_the_end(parent)
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
