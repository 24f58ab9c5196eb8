"""The whole life of a domain on libvirt's own in-process driver."""

from __future__ import annotations

import msgspec
import pytest

from components.hypervisor.capabilities import Capabilities, Capability
from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import DomainState
from tests.components.hypervisor.worlds import OWNER, UUID, domain_xml

FOREIGN = "11111111-2222-3333-4444-555555555555"


async def test_a_domain_is_defined_started_paused_resumed_stopped_and_forgotten(hypervisor):
    assert await hypervisor.define(domain_xml()) == UUID
    defined = await hypervisor.fact(UUID)
    assert (defined.state, defined.id, defined.active) == (DomainState.SHUTOFF, None, False)

    await hypervisor.start(UUID)
    running = await hypervisor.fact(UUID)
    assert (running.state, running.reason, running.type) == (DomainState.RUNNING, "booted", "test")
    assert running.id is not None
    assert running.persistent

    await hypervisor.suspend(UUID)
    paused = await hypervisor.fact(UUID)
    assert (paused.state, paused.reason) == (DomainState.PAUSED, "user")

    await hypervisor.resume(UUID)
    assert (await hypervisor.fact(UUID)).state is DomainState.RUNNING

    await hypervisor.shutdown(UUID)
    off = await hypervisor.fact(UUID)
    assert (off.state, off.reason) == (DomainState.SHUTOFF, "shutdown")

    await hypervisor.undefine(UUID)
    assert await hypervisor.fact(UUID) is None
    assert [one.name for one in await hypervisor.facts()] == ["foreign"]


async def test_the_owner_record_comes_back_as_it_was_written(hypervisor):
    owner = msgspec.structs.replace(OWNER, path="pool:a<b>&\"c':é", incarnation=7)

    await hypervisor.define(domain_xml(owner=owner))

    assert (await hypervisor.fact(UUID)).owner == owner
    assert (await hypervisor.by_name("vm1")).owner == owner
    assert (await hypervisor.by_name("foreign")).owner is None


async def test_what_is_not_there_is_none_or_not_found(hypervisor):
    assert await hypervisor.fact(UUID) is None
    assert await hypervisor.by_name("nobody") is None
    for method in ("start", "shutdown", "suspend", "resume", "xml"):
        with pytest.raises(HypervisorError) as caught:
            await getattr(hypervisor, method)(UUID)
        assert (caught.value.kind, caught.value.step) == ("NotFound", method)


async def test_doing_anything_twice_is_success(hypervisor):
    for _ in range(2):
        await hypervisor.define(domain_xml())
    for method in ("start", "suspend", "resume", "shutdown"):
        for _ in range(2):
            await getattr(hypervisor, method)(UUID)
    for gentle in (True, False):
        await hypervisor.start(UUID)
        for _ in range(2):
            await hypervisor.destroy(UUID, gentle=gentle)
        assert (await hypervisor.fact(UUID)).reason == "destroyed"
    for _ in range(2):
        await hypervisor.undefine(UUID)
    await hypervisor.destroy(UUID, gentle=True)


async def test_start_does_not_take_a_paused_domain_for_a_running_one(hypervisor):
    await hypervisor.define(domain_xml())
    await hypervisor.start(UUID, paused=True)
    await hypervisor.start(UUID, paused=True)

    with pytest.raises(HypervisorError, match="paused") as caught:
        await hypervisor.start(UUID)

    assert (caught.value.kind, caught.value.hint) == ("Refused", "resume it")


async def test_a_running_domain_is_not_undefined(hypervisor):
    await hypervisor.define(domain_xml())
    await hypervisor.start(UUID)

    with pytest.raises(HypervisorError, match="destroy it first") as caught:
        await hypervisor.undefine(UUID)

    assert (caught.value.kind, caught.value.name) == ("Refused", "vm1")
    after = await hypervisor.fact(UUID)
    assert (after.active, after.persistent) == (True, True)


@pytest.mark.parametrize(
    ("name", "uuid"),
    [("foreign", UUID), ("vm1", FOREIGN), ("foreign", FOREIGN)],
    ids=["its name", "its UUID", "both"],
)
async def test_a_foreign_domain_is_never_overwritten(hypervisor, name, uuid):
    before = await hypervisor.xml(FOREIGN)

    with pytest.raises(HypervisorError, match="not made by smartdomains") as caught:
        await hypervisor.define(domain_xml(name=name, uuid=uuid))

    assert caught.value.kind == "NameTaken"
    assert FOREIGN in caught.value.message
    assert await hypervisor.xml(FOREIGN) == before


async def test_a_domain_of_another_component_is_not_overwritten_and_its_path_is_told(hypervisor):
    other = msgspec.structs.replace(OWNER, path="pool:host2:vm9")
    await hypervisor.define(domain_xml(owner=other))

    with pytest.raises(HypervisorError, match="pool:host2:vm9 of application pool in lab"):
        await hypervisor.define(domain_xml())

    assert (await hypervisor.fact(UUID)).owner == other


async def test_the_drivers_own_domain_keeps_its_name():
    from components.hypervisor.connection import LibvirtHypervisor

    hypervisor = await LibvirtHypervisor.open("test:///default")
    try:
        with pytest.raises(HypervisorError, match="'test'") as caught:
            await hypervisor.define(domain_xml(name="test"))
        assert caught.value.kind == "NameTaken"
    finally:
        await hypervisor.close()


async def test_an_unsupported_way_is_lowered_once_and_not_tried_again(hypervisor, monkeypatch):
    import libvirt

    asked = []
    original = libvirt.virDomain.shutdownFlags

    def shutdown_flags(domain, flags=0):
        asked.append(flags)
        return original(domain, flags)

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", shutdown_flags)
    await hypervisor.define(domain_xml())
    assert Capability.SHUTDOWN_AGENT in hypervisor.caps
    for _ in range(3):
        await hypervisor.start(UUID)
        await hypervisor.shutdown(UUID)
        assert not (await hypervisor.fact(UUID)).active

    assert len(asked) == 2  # agent once, ACPI once
    assert "unsupported flags" in hypervisor.caps.absent[Capability.SHUTDOWN_AGENT]


async def test_a_guest_without_agent_does_not_lower_the_capability_for_all(hypervisor, monkeypatch):
    import libvirt

    def shutdown_flags(domain, flags=0):
        error = libvirt.libvirtError("")
        error.err = (74, 10, "argument unsupported: QEMU guest agent is not configured", *[""] * 6)
        raise error

    monkeypatch.setattr(libvirt.virDomain, "shutdownFlags", shutdown_flags)
    await hypervisor.define(domain_xml())
    await hypervisor.start(UUID)

    await hypervisor.shutdown(UUID)

    assert not (await hypervisor.fact(UUID)).active
    assert Capability.SHUTDOWN_AGENT in hypervisor.caps


async def test_a_xen_guest_is_asked_the_drivers_own_way_not_by_the_power_button(
    hypervisor, monkeypatch
):
    """The button of a pv or pvh guest can be pressed, with success, and does nothing."""
    import libvirt

    asked = []
    monkeypatch.setattr(
        libvirt.virDomain, "shutdownFlags", lambda _domain, flags=0: asked.append(flags) or 0
    )
    await hypervisor.define(domain_xml())
    await hypervisor.start(UUID)
    monkeypatch.setattr(hypervisor, "_caps", Capabilities("Xen"))

    await hypervisor.shutdown(UUID)

    assert asked == []
    assert not (await hypervisor.fact(UUID)).active


async def test_a_saved_guest_is_forgotten_with_what_was_saved_where_there_are_no_snapshots(
    hypervisor, monkeypatch
):
    """libvirt's Xen driver knows none of the other flags, and without this one it refuses."""
    import libvirt

    original = libvirt.virDomain.undefineFlags
    asked = []

    def undefine_flags(domain, flags=0):
        asked.append(flags)
        if flags & ~libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE:
            error = libvirt.libvirtError("")
            error.err = (8, 10, "unsupported flags (0x2) in function", *[""] * 6)
            raise error
        return original(domain, flags)

    monkeypatch.setattr(libvirt.virDomain, "undefineFlags", undefine_flags)
    await hypervisor.define(domain_xml())
    monkeypatch.setattr(hypervisor, "_caps", Capabilities("Xen"))

    await hypervisor.undefine(UUID)

    assert asked == [libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE]
    assert await hypervisor.fact(UUID) is None


async def test_validation_refuses_what_the_schema_does_not_know(hypervisor):
    odd = domain_xml().replace("<vcpu>1</vcpu>", "<vcpu>1</vcpu><nonsense/>")

    with pytest.raises(HypervisorError) as caught:
        await hypervisor.define(odd)

    assert (caught.value.kind, caught.value.step, caught.value.name) == ("Refused", "define", "vm1")
    assert await hypervisor.define(odd, validate=False) == UUID


async def test_what_is_not_xml_is_refused(hypervisor):
    with pytest.raises(HypervisorError, match="not XML"):
        await hypervisor.define("<domain")
