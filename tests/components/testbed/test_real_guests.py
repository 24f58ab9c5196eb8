"""Real guests, emulated, on a private libvirtd: what the in-process driver cannot prove."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid

import msgspec
import pytest

from components.domains.xml import DiskSpec, DomainSpec, InterfaceSpec, OwnerRecord, domain_xml
from components.hypervisor.capabilities import Capability
from components.hypervisor.connection import LibvirtHypervisor, Limits
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import DomainEvent, DomainState, EventKind, Happenings, Link
from components.testbed.guest_image import BEAT, MEMORY_BYTES, READY, GuestImage, mac_of
from components.testbed.private_libvirtd import PrivateLibvirtd
from components.testbed.tools import run

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

LIMITS = Limits(reconnect_s=(0.1, 0.2, 0.5))
BOOT_S = 60.0


class Guest:
    """One tiny guest on a host."""

    def __init__(
        self, host: PrivateLibvirtd, image: GuestImage, name: str, *, agent: bool = False
    ) -> None:
        self.log = host.directory / f"{name}.log"
        self.log.unlink(missing_ok=True)
        self.uuid = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        disk = host.directory / f"{name}.qcow2"
        disk.unlink(missing_ok=True)
        backing = ["-F", "raw", "-b", str(image.disk)]
        run(["qemu-img", "create", "-q", "-f", "qcow2", *backing, disk])
        self.spec = DomainSpec(
            kind="qemu",
            name=name,
            uuid=self.uuid,
            owner=OwnerRecord(community="lab", application="a", path=f"a:{name}", incarnation=1),
            memory_bytes=MEMORY_BYTES,
            machine="pc",
            kernel=str(image.kernel),
            initrd=str(image.initrd),
            cmdline=GuestImage.cmdline(name, beat_s=0.2),
            disks=(DiskSpec(path=str(disk), target="vda", format="qcow2"),),
            interfaces=(
                InterfaceSpec(
                    kind="bridge", source="br0", mac=mac_of("10.77.0.101"), model="virtio"
                ),
            ),
            console_log=str(self.log),
            agent=agent,
            cpu_model="qemu64",
            tb_cache_mib=32,
            balloon_stats_s=2,
        )

    async def boot(self, hypervisor: LibvirtHypervisor) -> str:
        assert await hypervisor.define(domain_xml(self.spec)) == self.uuid
        await hypervisor.start(self.uuid)
        return await self.said(READY, within_s=BOOT_S)

    async def said(self, word: str, *, within_s: float = 20, after: int = 0) -> str:
        """Wait for a console line with that word, beyond so many characters; give the line."""
        text = ""
        try:
            async with asyncio.timeout(within_s):
                while True:
                    text = self.log.read_text(errors="replace")[after:] if self.log.exists() else ""
                    for line in text.splitlines()[: text.count("\n")]:
                        if word in line:
                            return line
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(f"no {word} within {within_s} s; console: {text[-2000:]}")


async def event(events: Happenings, kind: EventKind, detail: str = "") -> DomainEvent:
    """Wait for an event of that kind and detail, passing over others."""
    async with asyncio.timeout(30):
        async for one in events:
            if one.kind is kind and detail in {"", one.detail}:
                return one
    pytest.fail("the events have ended")


@pytest.fixture
async def hypervisor(host):
    opened = await LibvirtHypervisor.open(host.uri, limits=LIMITS)
    yield opened
    if opened.state is Link.CONNECTED:
        for one in await opened.facts():
            await opened.destroy(one.uuid, gentle=False)
            await opened.undefine(one.uuid)
    await opened.close()


async def test_a_guest_boots_from_our_xml_and_stops_when_asked_by_acpi(host, image, hypervisor):
    guest = Guest(host, image, "acpi")
    events = hypervisor.happenings()

    ready = await guest.boot(hypervisor)

    assert "name=acpi ip=10.77.0.101" in ready
    assert "disks=vda" in ready
    facts = await hypervisor.fact(guest.uuid)
    assert (facts.state, facts.type, facts.owner) == (
        DomainState.RUNNING,
        "qemu",
        guest.spec.owner,
    )
    assert list(host.qemu_pids()) == ["acpi"]
    await hypervisor.shutdown(guest.uuid)
    assert (await event(events, EventKind.STOPPED)).detail == "shutdown"
    assert (await hypervisor.fact(guest.uuid)).reason == "shutdown"
    assert host.qemu_pids() == {}
    assert Capability.SHUTDOWN_AGENT in hypervisor.caps  # this guest has none, others may
    await hypervisor.undefine(guest.uuid)
    assert await hypervisor.facts() == ()


async def test_a_guest_with_agent_tells_so_and_stops_when_asked_by_it(host, image, hypervisor):
    guest = Guest(host, image, "agent", agent=True)
    events = hypervisor.happenings()
    await guest.boot(hypervisor)

    await event(events, EventKind.AGENT, "connected")
    await hypervisor.shutdown(guest.uuid)

    assert (await event(events, EventKind.STOPPED)).uuid == guest.uuid
    assert not (await hypervisor.fact(guest.uuid)).active


async def test_a_suspended_guest_is_silent_and_goes_on_when_resumed(host, image, hypervisor):
    guest = Guest(host, image, "pause")
    await guest.boot(hypervisor)
    await guest.said(BEAT)

    await hypervisor.suspend(guest.uuid)
    before = guest.log.stat().st_size
    await asyncio.sleep(1)  # five beats
    assert guest.log.stat().st_size == before
    assert (await hypervisor.fact(guest.uuid)).state is DomainState.PAUSED

    await hypervisor.resume(guest.uuid)
    await guest.said(BEAT, after=before)
    await hypervisor.destroy(guest.uuid, gentle=True)
    assert (await hypervisor.fact(guest.uuid)).reason == "destroyed"


async def test_a_guest_started_paused_has_said_nothing(host, image, hypervisor):
    guest = Guest(host, image, "held")
    await hypervisor.define(domain_xml(guest.spec))

    await hypervisor.start(guest.uuid, paused=True)

    assert (await hypervisor.fact(guest.uuid)).state is DomainState.PAUSED
    assert Capability.START_PAUSED in hypervisor.caps
    assert guest.log.read_text() == ""


async def test_a_killed_emulator_is_an_event(host, image, hypervisor):
    guest = Guest(host, image, "killed")
    await guest.boot(hypervisor)
    events = hypervisor.happenings()

    began = time.monotonic()
    os.kill(host.qemu_pids()["killed"], signal.SIGKILL)
    stopped = await event(events, EventKind.STOPPED)

    assert (stopped.name, stopped.detail) == ("killed", "failed")
    assert time.monotonic() - began < 5
    facts = await hypervisor.fact(guest.uuid)
    assert (facts.state, facts.reason) == (DomainState.SHUTOFF, "crashed")


async def test_a_guest_outlives_libvirtd_and_the_connection_comes_back(host, image, hypervisor):
    guest = Guest(host, image, "outlives")
    await guest.boot(hypervisor)
    before, emulator = await hypervisor.fact(guest.uuid), host.qemu_pids()
    events = hypervisor.happenings()

    await asyncio.to_thread(host.restart_libvirtd)
    await event(events, EventKind.LOST)
    await event(events, EventKind.MISSED)

    assert hypervisor.state is Link.CONNECTED
    assert (await hypervisor.fact(guest.uuid)).id == before.id
    assert host.qemu_pids() == emulator
    await guest.said(BEAT, after=guest.log.stat().st_size)
    os.kill(emulator["outlives"], signal.SIGKILL)
    assert (await event(events, EventKind.STOPPED)).uuid == guest.uuid  # events work again


async def test_a_frozen_libvirtd_is_a_stuck_call_that_returns_when_it_thaws(host, hypervisor):
    limits = msgspec.structs.replace(LIMITS, read_s=0.5)
    impatient = await LibvirtHypervisor.open(host.uri, limits=limits)
    frozen = host.libvirtd_pid()
    os.kill(frozen, signal.SIGSTOP)
    try:
        with pytest.raises(HypervisorError, match="hypervisor call stuck: facts") as caught:
            await impatient.facts()
        assert caught.value.kind == "Timeout"
        (call,) = impatient.pending()
    finally:
        os.kill(frozen, signal.SIGCONT)

    async with asyncio.timeout(10):
        await call.wait()
    assert await impatient.facts() == ()
    await impatient.close()


NO_IMAGE = {"disks": (DiskSpec(path="/srv/none.img", target="vda"),)}
NO_BRIDGE = {"interfaces": (InterfaceSpec(kind="bridge", source="br9", mac="52:54:0a:4d:00:01"),)}


@pytest.mark.parametrize(
    ("change", "hint"),
    [
        (NO_IMAGE, "/srv/none.img is not on this host"),
        (NO_BRIDGE, "bridge 'br9' is not on this host"),
    ],
    ids=["no image", "no bridge"],
)
async def test_a_start_that_cannot_work_says_why(host, image, hypervisor, change, hint):
    spec = msgspec.structs.replace(Guest(host, image, "cannot").spec, **change)
    await hypervisor.define(domain_xml(spec))

    with pytest.raises(HypervisorError) as caught:
        await hypervisor.start(spec.uuid)

    assert hint in caught.value.hint, str(caught.value)
    assert (caught.value.step, caught.value.name) == ("start", "cannot")
    assert not (await hypervisor.fact(spec.uuid)).active
    assert host.qemu_pids() == {}
