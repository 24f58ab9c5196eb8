"""The private host itself: it comes, survives, and goes without a trace."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from components.hypervisor.connection import LibvirtHypervisor, Limits
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import Link
from components.testbed.private_libvirtd import PrivateLibvirtd
from components.testbed.tools import ToolFailedError, run
from tests.components.testbed.test_real_guests import Guest

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]


@pytest.fixture
def directory(guests):
    path = Path(tempfile.mkdtemp(prefix="sd-"))
    yield path
    shutil.rmtree(path)


def machine() -> dict[str, object]:
    """What a host might leave behind on the machine."""
    return {
        "links": sorted(re.findall(r"^\d+: (\S+?)[@:]", run(["ip", "-o", "link"]), re.MULTILINE)),
        "named namespaces": run(["ip", "netns", "list"]),
        "mounts": sorted(Path("/proc/self/mounts").read_text().splitlines()),
        "host name": os.uname().nodename,
        "libvirt": {
            system: sorted(str(path) for path in Path(system).rglob("*"))
            for system in ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/run/libvirt")
        },
    }


NAMESPACES = ("mnt", "uts", "ipc", "pid", "net")


def namespaces(pid: int | str) -> set[str]:
    """The namespaces a process is in; empty when it is gone."""
    found = set()
    for entry in NAMESPACES:
        with contextlib.suppress(OSError):
            found.add(str(Path(f"/proc/{pid}/ns/{entry}").readlink()))
    return found


def in_use(spaces: set[str]) -> bool:
    pids = [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return any(namespaces(pid) & spaces for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


@pytest.mark.parametrize("end", ["stop", "crash"])
async def test_a_host_with_a_running_guest_leaves_nothing_behind(directory, image, end):
    before = machine()
    host = PrivateLibvirtd(directory)
    host.start()
    hypervisor = await LibvirtHypervisor.open(host.uri, limits=Limits(reconnect_s=(0.1,)))
    await Guest(host, image, "left").boot(hypervisor)
    pids = host.pids()
    assert len(pids) == 3  # PID 1, libvirtd, QEMU
    # Open, so that their numbers are not given out again before the last look.
    held = [os.open(f"/proc/{pids[0]}/ns/{kind}", os.O_RDONLY) for kind in NAMESPACES]
    spaces = namespaces(pids[0])
    assert len(spaces - namespaces("self")) == 5
    assert in_use(spaces)
    await hypervisor.close()

    getattr(host, end)()
    getattr(host, end)()

    assert not host.running
    assert (host.pids(), host.qemu_pids()) == ([], {})
    assert not any(alive(pid) for pid in pids)
    assert machine() == before
    assert not in_use(spaces - namespaces("self"))
    for each in held:
        os.close(each)


async def test_after_a_power_cut_the_guest_is_known_and_off(directory, image):
    with PrivateLibvirtd(directory) as host:
        hypervisor = await LibvirtHypervisor.open(host.uri, limits=Limits(reconnect_s=(0.1,)))
        guest = Guest(host, image, "cut")
        await guest.boot(hypervisor)

        host.crash()
        with pytest.raises(HypervisorError) as caught:
            await hypervisor.fact(guest.uuid)
        assert caught.value.kind == "Unreachable"
        assert hypervisor.state is Link.DEGRADED
        await hypervisor.close()

        host.start()
        again = await LibvirtHypervisor.open(host.uri)
        facts = await again.fact(guest.uuid)
        assert facts is not None
        assert (facts.active, facts.owner) == (False, guest.spec.owner)
        await again.close()


def command(directory: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "components.testbed.private_libvirtd", "--dir", str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("how", ["stdin closes", "SIGTERM", "SIGINT", "SIGKILL"])
def test_the_command_says_ready_and_its_host_ends_with_it(directory, how):
    before = machine()
    with command(directory) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == f"ready {PrivateLibvirtd(directory).uri}\n"
        (unshare,) = children(starter.pid)
        (init,) = children(unshare)
        assert run(["virsh", "-c", PrivateLibvirtd(directory).uri, "list", "--name"]).strip() == ""

        if how == "stdin closes":
            starter.communicate(timeout=20)  # closes it
        else:
            starter.send_signal(getattr(signal, how))
        starter.wait(20)

    until(lambda: not alive(init) and not alive(unshare))
    assert starter.returncode == {
        "stdin closes": 0, "SIGTERM": 143, "SIGINT": 130, "SIGKILL": -9,
    }[how]  # fmt: skip
    until(lambda: machine() == before)


def test_in_the_background_of_a_shell_it_ends_with_the_shell(directory):
    before = machine()
    program = f"{sys.executable} -m components.testbed.private_libvirtd --dir {directory}"
    script = f"{program} < /dev/null & wait"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline().startswith("ready ")
        (starter,) = children(shell.pid)
        (unshare,) = children(starter)
        assert alive(unshare)  # a standard input that is no pipe has not ended it
        shell.kill()

    until(lambda: not alive(starter) and not alive(unshare))
    until(lambda: machine() == before)


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_host_that_cannot_come_up_says_so_and_is_off(directory):
    host = PrivateLibvirtd(directory, address="nonsense")

    with pytest.raises(ToolFailedError, match="nonsense"):
        host.start()

    assert not host.running


def test_a_host_is_not_started_twice(directory):
    with PrivateLibvirtd(directory) as host:
        with pytest.raises(RuntimeError, match="on already"):
            host.start()
        assert host.running


def test_a_directory_too_long_for_a_socket_is_refused():
    with pytest.raises(ValueError, match="too long for a socket"):
        PrivateLibvirtd(Path("/tmp") / ("x" * 100))
