"""PID 1 of a private host: makes its view of the machine, keeps libvirtd running, reaps orphans.

Started by `private_libvirtd` in fresh namespaces, as a script of its own: standard library only.
It ends when its standard input closes, so the host cannot outlive whoever started it; the kernel
then ends everything else in the host.

    host_init.py DIRECTORY NAME UUID ADDRESS/PREFIX
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

# Our folder, the system's. libvirtd run by root has the latter compiled in.
FOLDERS = {
    "etc": "/etc/libvirt",
    "lib": "/var/lib/libvirt",
    "cache": "/var/cache/libvirt",
    "log": "/var/log/libvirt",
    "run": "/run/libvirt",
}

_DAEMON_CONF = """\
host_uuid = "{uuid}"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
listen_tls = 0
listen_tcp = 0
log_outputs = "2:file:{directory}/log/libvirtd.log"
"""

# No other PID 1 but us watches over QEMU, so libvirtd itself must neither hide it in namespaces nor
# in the machine's control groups, which all hosts share.
_QEMU_CONF = """\
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""

_RESTARTS = 20
"""How often libvirtd is started again before the host gives up."""


def _run(*argv: str) -> None:
    program = shutil.which(argv[0], path=_PATH) or argv[0]
    subprocess.run([program, *argv[1:]], check=True)


def _prepare(directory: Path, name: str, uuid: str, address: str) -> None:
    socket.sethostname(name)
    # The view of devices that belongs to our own network namespace.
    _run("mount", "-t", "sysfs", "sysfs", "/sys")
    for ours, system in FOLDERS.items():
        (directory / ours).mkdir(parents=True, exist_ok=True)
        Path(system).mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(directory / ours), system)
    _run("ip", "link", "set", "lo", "up")
    options = ["stp_state", "0", "forward_delay", "0"]
    _run("ip", "link", "add", "br0", "type", "bridge", *options)
    _run("ip", "link", "set", "br0", "up")
    _run("ip", "addr", "add", address, "dev", "br0")
    text = _DAEMON_CONF.format(uuid=uuid, directory=directory)
    (directory / "etc/libvirtd.conf").write_text(text)
    (directory / "etc/qemu.conf").write_text(_QEMU_CONF)


def _start_libvirtd(directory: Path) -> int:
    for left in ("libvirt-sock", "libvirt-sock-ro", "libvirtd.pid"):
        (directory / "run" / left).unlink(missing_ok=True)
    program = shutil.which("libvirtd", path=_PATH) or "/usr/sbin/libvirtd"
    configuration = str(directory / "etc/libvirtd.conf")
    argv = [program, "-f", configuration, "-p", str(directory / "run/libvirtd.pid")]
    environment = {"PATH": _PATH, "LC_ALL": "C"}
    return os.posix_spawn(program, argv, environment, setsigmask=[])


def _reap() -> set[int]:
    gone: set[int] = set()
    with contextlib.suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            gone.add(pid)
    return gone


def _watch(directory: Path) -> int:
    """Keep libvirtd running until standard input closes; gives the exit status."""
    woken, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    daemon, restarts = _start_libvirtd(directory), 0
    while True:
        ready, _, _ = select.select([woken, sys.stdin], [], [])
        if sys.stdin in ready and not os.read(sys.stdin.fileno(), 1):
            break
        with contextlib.suppress(BlockingIOError):
            os.read(woken, 4096)
        if daemon in _reap():
            if restarts == _RESTARTS:
                return 1
            restarts += 1
            time.sleep(0.05)
            daemon = _start_libvirtd(directory)
    # Everything else ends with us, at once; libvirtd may write its files first.
    with contextlib.suppress(ProcessLookupError):
        os.kill(daemon, signal.SIGTERM)
    end = time.monotonic() + 2
    while daemon not in _reap() and time.monotonic() < end:
        time.sleep(0.01)
    return 0


def main() -> int:
    """Be the host."""
    directory, name, uuid, address = sys.argv[1:]
    _prepare(Path(directory), name, uuid, address)
    return _watch(Path(directory))


if __name__ == "__main__":
    sys.exit(main())
