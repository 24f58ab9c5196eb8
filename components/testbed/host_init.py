"""PID 1 of a private host: makes its view of the machine, keeps its services running, reaps orphans.

Started in fresh namespaces, as a script of its own: standard library only.

    host_init.py PLAN

PLAN is a JSON file:

    name        host name
    directory   where the host's files are; what follows is made below it
    waits       whether to wait for the line `go` on standard input before doing anything; if it
                closes instead, the host ends: its starter died before it could write down our id
    ends        whether to end when standard input closes, so that the host cannot outlive whoever
                started it
    bridge      address with prefix, or null, and MAC, of bridge br0: [ADDRESS, MAC]
    port        network device to put into the bridge, or null
    tap         network device to make in the bridge for an emulated machine, or null
    hosts       file to see as /etc/hosts, or null
    libvirt     null, or {uuid, address}: runs libvirtd; with an address it also listens there
    services    further programs to keep running: [{name, argv, environment, ready}]; what one prints
                goes to `ready`, afresh at each start, what it complains about to NAME.log

A service that dies is started again, after a pause that grows; while the file `hold-NAME` exists it
is not. Its process id is in NAME.pid. When the host's PID 1 ends, the kernel ends everything else in
the host.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# Our folder, the system's. libvirtd run by root has the latter compiled in.
FOLDERS = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
    "run": "/run/libvirt",
}

# Where emulators of TPMs keep their authority and their logs; only where they are installed.
TPM_FOLDERS = {"tpm": "/var/lib/swtpm-localca", "tpm-log": "/var/log/swtpm"}

_DAEMON_CONF = """\
host_uuid = "{uuid}"
auth_unix_rw = "none"
auth_unix_ro = "none"
auth_tcp = "none"
unix_sock_group = "root"
listen_tls = 0
listen_tcp = {tcp}
listen_addr = "{address}"
log_outputs = "2:file:{directory}/log/libvirtd.log"
"""

# No other PID 1 but us watches over QEMU, so libvirtd itself must neither hide it in namespaces nor
# in the machine's control groups, which all hosts share.
_QEMU_CONF = """\
security_driver = "none"
swtpm_user = "root"
swtpm_group = "root"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""
_AS_ROOT = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
"""

_RESTARTS = 8
"""How often in a row a service may die young, other than by SIGKILL, before the host gives up."""

_YOUNG_S = 5.0
_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 2.0


def _run(*argv: str, stdin: str = "") -> None:
    program = shutil.which(argv[0], path=_PATH) or argv[0]
    subprocess.run([program, *argv[1:]], check=True, input=stdin.encode())


def _prepare(plan: Mapping[str, Any]) -> None:
    directory = Path(plan["directory"])
    socket.sethostname(plan["name"])
    # The view of devices that belongs to our own network namespace.
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    if plan["hosts"]:
        _run("mount", "--bind", plan["hosts"], "/etc/hosts")
    (address, mac), tap = plan["bridge"], plan["tap"]
    lines = [
        "link set lo up",
        f"link add br0 address {mac} type bridge stp_state 0 forward_delay 0",
        *([f"link set {plan['port']} master br0 up"] if plan["port"] else []),
        "link set br0 up",
        *([f"addr add {address} dev br0"] if address else []),
        *([f"tuntap add {tap} mode tap", f"link set {tap} master br0 up"] if tap else []),
    ]
    _run("ip", "-batch", "-", stdin="\n".join(lines))
    if plan["libvirt"]:
        _prepare_libvirt(directory, **plan["libvirt"])


def _prepare_libvirt(directory: Path, uuid: str, address: str, *, as_root: bool = True) -> None:
    emulates_tpms = Path(TPM_FOLDERS["tpm"]).is_dir()
    for ours, system in (FOLDERS | (TPM_FOLDERS if emulates_tpms else {})).items():
        (directory / ours).mkdir(parents=True, exist_ok=True)
        Path(system).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(directory / ours), system)
    text = _DAEMON_CONF.format(
        uuid=uuid, directory=directory, tcp=int(bool(address)), address=address or "127.0.0.1"
    )
    (directory / "etc/libvirtd.conf").write_text(text)
    migration = f'migration_host = "{address}"\n' if address else ""
    (directory / "etc/qemu.conf").write_text(_QEMU_CONF + (_AS_ROOT if as_root else "") + migration)


class _Service:
    """A program that is kept running."""

    def __init__(
        self, directory: Path, name: str, argv: Sequence[str], environment: Mapping[str, str], *,
        ready: str = "", clears: Sequence[Path] = (),
    ) -> None:  # fmt: skip
        self._hold = directory / f"hold-{name}"
        self._log = directory / f"{name}.log"
        self._number = directory / f"{name}.pid"
        self._argv, self._environment = list(argv), dict(environment)
        self._ready, self._clears = ready, clears
        self.pid: int | None = None
        self._began = self._due = 0.0
        self._young_deaths = 0

    def look(self, gone: Mapping[int, int]) -> bool:
        """Note its death, start it when it is time; gives whether it died too often by itself."""
        now = time.monotonic()
        if self.pid is not None and self.pid in gone:
            killed = os.waitstatus_to_exitcode(gone[self.pid]) == -signal.SIGKILL
            self.pid = None
            young = now - self._began < _YOUNG_S and not killed
            self._young_deaths = self._young_deaths + 1 if young else 0
            self._due = now + min(_LONGEST_PAUSE_S, _PAUSE_S * 2**self._young_deaths)
        if self._young_deaths > _RESTARTS:
            return True
        if self.pid is None and now >= self._due and not self._hold.exists():
            self._start()
            self._began = now
        return False

    def _start(self) -> None:
        for left in self._clears:
            left.unlink(missing_ok=True)
        append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        log = os.open(self._log, append, 0o644)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        out = os.open(self._ready, flags, 0o644) if self._ready else os.dup(log)
        null = os.open("/dev/null", os.O_RDONLY)
        try:
            actions = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((null, out, log))]
            self.pid = os.posix_spawn(
                self._argv[0], self._argv, self._environment,
                file_actions=actions, setsigmask=[], setsid=True,
            )  # fmt: skip
            self._number.write_text(f"{self.pid}\n")
        finally:
            for fd in (log, out, null):
                os.close(fd)


def _services(plan: Mapping[str, Any]) -> list[_Service]:
    directory = Path(plan["directory"])
    services = []
    if plan["libvirt"]:
        program = shutil.which("libvirtd", path=_PATH) or "/usr/sbin/libvirtd"
        argv = [
            program,
            "-f",
            f"{directory}/etc/libvirtd.conf",
            "-p",
            f"{directory}/run/libvirtd.pid",
        ]
        argv += ["-l"] if plan["libvirt"]["address"] else []
        left = [
            directory / "run" / name for name in ("libvirt-sock", "libvirt-sock-ro", "libvirtd.pid")
        ]
        services.append(
            _Service(directory, "libvirtd", argv, {"PATH": _PATH, "LC_ALL": "C"}, clears=left)
        )
    return services + [_Service(directory, **service) for service in plan["services"]]


def _reap() -> dict[int, int]:
    gone: dict[int, int] = {}
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0] != 0:
            gone[child[0]] = child[1]
    return gone


def _watch(plan: Mapping[str, Any]) -> int:
    """Keep the services running until told to end; gives the exit status."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    services = _services(plan)
    watched = [woken, *([sys.stdin.fileno()] if plan["ends"] else [])]
    gone: Mapping[int, int] = {}
    while True:
        given_up = [service.look(gone) for service in services]
        if any(given_up):
            return 1
        # One that is down is looked at again soon: its pause may be over, or nobody holds it.
        pause_s = 0.05 if any(service.pid is None for service in services) else None
        ready, _, _ = select.select(watched, [], [], pause_s)
        if plan["ends"] and sys.stdin.fileno() in ready and not os.read(sys.stdin.fileno(), 1):
            break
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)
        gone = _reap()
    # Everything else ends with us, at once; services may write their files first.
    pids = {service.pid for service in services if service.pid is not None}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    end = time.monotonic() + 2
    while pids and time.monotonic() < end:
        pids -= _reap().keys()
        time.sleep(0.01)
    return 0


def main() -> int:
    """Be the host."""
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    os.chdir("/")
    if plan["waits"] and sys.stdin.readline() != "go\n":
        return 0
    _prepare(plan)
    (Path(plan["directory"]) / "up").touch()
    return _watch(plan)


if __name__ == "__main__":
    sys.exit(main())
