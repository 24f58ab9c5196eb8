"""The operations themselves, in libvirt's words: plain functions that block, for worker threads.

Each takes an open connection and is idempotent as `protocol.Hypervisor` promises. libvirt's errors
pass through unmapped; what we refuse ourselves is a `HypervisorError`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

import libvirt
import libvirt_qemu

from components.hypervisor.capabilities import Capabilities, Capability
from components.hypervisor.errors import HypervisorError, from_libvirt
from components.hypervisor.owner import OwnerRecord, owner_in
from components.hypervisor.protocol import DomainFacts, DomainState, NodeFacts, Status, Version
from components.hypervisor.trusted_xml import parsed

Shape = tuple[tuple[str | int, ...], ...]

# In the order of libvirt's enumerations, whose numbers never change.
_STATES: tuple[tuple[DomainState, str], ...] = (
    (DomainState.NOSTATE, "unknown"),
    (
        DomainState.RUNNING,
        (
            "unknown booted migrated restored from-snapshot unpaused migration-canceled"
            " save-canceled wakeup crashed postcopy postcopy-failed"
        ),
    ),
    (DomainState.BLOCKED, "unknown"),
    (
        DomainState.PAUSED,
        (
            "unknown user migration save dump io-error watchdog from-snapshot shutting-down"
            " snapshot crashed starting-up postcopy postcopy-failed api-error"
        ),
    ),
    (DomainState.SHUTDOWN, "unknown user"),
    (
        DomainState.SHUTOFF,
        "unknown shutdown destroyed crashed migrated saved failed from-snapshot daemon",
    ),
    (DomainState.CRASHED, "unknown panicked"),
    (DomainState.PMSUSPENDED, "unknown"),
)


def state_of(number: int, reason: int) -> tuple[DomainState, str]:
    """Translate libvirt's state and reason numbers; unknown ones become "unknown"."""
    if not 0 <= number < len(_STATES):
        return DomainState.NOSTATE, "unknown"
    state, words = _STATES[number]
    known = words.split()
    return state, known[reason] if 0 <= reason < len(known) else "unknown"


def _facts_of(domain: libvirt.virDomain) -> DomainFacts:
    state, reason = state_of(*domain.state())
    root = parsed(domain.XMLDesc(0))
    active = bool(domain.isActive())
    number = int(root.get("id", "-1"))
    return DomainFacts(
        uuid=domain.UUIDString(),
        name=domain.name(),
        state=state,
        reason=reason,
        id=number if active and number >= 0 else None,
        owner=owner_in(root),
        persistent=bool(domain.isPersistent()),
        type=root.get("type", ""),
        macs=tuple(mac.get("address", "").lower() for mac in root.findall("devices/interface/mac")),
        disks=tuple(
            place
            for disk in root.findall("devices/disk")
            if disk.find("readonly") is None and disk.find("shareable") is None
            for source in disk.findall("source")
            if (place := source.get("file") or source.get("dev") or "")
        ),
        networks=tuple(
            source.get("network", "")
            for source in root.findall("devices/interface[@type='network']/source")
        ),
    )


def _is_gone(error: libvirt.libvirtError) -> bool:
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


def _find(look: Callable[[str], libvirt.virDomain], key: str) -> libvirt.virDomain | None:
    try:
        return look(key)
    except libvirt.libvirtError as error:
        if _is_gone(error):
            return None
        raise


def find(connection: libvirt.virConnect, uuid: str) -> libvirt.virDomain | None:
    """Look a domain up by UUID."""
    return _find(connection.lookupByUUIDString, uuid)


def facts(connection: libvirt.virConnect) -> tuple[DomainFacts, ...]:
    """List all domains; one that vanishes meanwhile is left out."""
    seen = (_facts_unless_gone(domain) for domain in connection.listAllDomains(0))
    return tuple(found for found in seen if found is not None)


def _facts_unless_gone(domain: libvirt.virDomain | None) -> DomainFacts | None:
    if domain is None:
        return None
    try:
        return _facts_of(domain)
    except libvirt.libvirtError as error:
        if _is_gone(error):
            return None
        raise


def fact(connection: libvirt.virConnect, uuid: str) -> DomainFacts | None:
    """Look at one domain."""
    return _facts_unless_gone(find(connection, uuid))


def status(connection: libvirt.virConnect, uuid: str) -> Status | None:
    """Look at the run state of one domain."""
    domain = find(connection, uuid)
    if domain is None:
        return None
    try:
        state, reason = state_of(*domain.state())
    except libvirt.libvirtError as error:
        if _is_gone(error):
            return None
        raise
    return Status(state=state, reason=reason, active=domain.ID() >= 0)


def by_name(connection: libvirt.virConnect, name: str) -> DomainFacts | None:
    """Look at the domain of that name."""
    return _facts_unless_gone(_find(connection.lookupByName, name))


def describe(connection: libvirt.virConnect, uuid: str) -> str:
    """Give a domain's XML."""
    return str(connection.lookupByUUIDString(uuid).XMLDesc(0))


def version(connection: libvirt.virConnect) -> Version:
    """Ask who answers."""

    def dotted(number: int) -> str:
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"

    return Version(
        driver=connection.getType(),
        library=dotted(connection.getLibVersion()),
        hypervisor=dotted(connection.getVersion()),
    )


def node(connection: libvirt.virConnect) -> NodeFacts:
    """Ask what the machine has."""
    arch, memory_mib, cpus = connection.getInfo()[:3]
    try:
        free = connection.getFreeMemory()
    except libvirt.libvirtError:
        free = None
    model, types = "", set[str]()
    with contextlib.suppress(libvirt.libvirtError, ET.ParseError):
        told = parsed(connection.getCapabilities())
        model = told.findtext("host/cpu/model", "")
        types = {each.get("type", "") for each in told.iterfind("guest/arch/domain")}
    return NodeFacts(
        arch=arch, cpus=cpus, memory_bytes=memory_mib * 2**20, free_bytes=free, cpu_model=model,
        domain_types=tuple(sorted(types)),
    )  # fmt: skip


def ladder(
    caps: Capabilities,
    rungs: Sequence[tuple[Capability | None, Callable[[], object]]],
    *,
    step: str,
    fall_through: Callable[[libvirt.libvirtError], bool] = lambda _error: False,
) -> None:
    """Try ways of doing one thing until one works, best first.

    Args:
        caps: A rung whose capability is absent is skipped; one that proves absent is lowered.
        rungs: What the way needs, and the call. The last should need nothing.
        step: For the reason noted with a lowered capability.
        fall_through: Says of an error whether the next rung is worth trying all the same.

    Raises:
        libvirt.libvirtError: The last rung tried failed, or an earlier one for another reason.
    """
    failed: libvirt.libvirtError | None = None
    for capability, act in rungs:
        if capability is not None and capability not in caps:
            continue
        try:
            act()
        except libvirt.libvirtError as error:
            failed = error
            unsupported = from_libvirt(error, step=step).kind == "Unsupported"
            if capability is not None and unsupported:
                caps.lower(capability, f"{step}: {error.get_error_message()}")
            elif not fall_through(error):
                raise
        else:
            failed = (
                None  # it holds this frame, and would keep the domain for the garbage collector
            )
            return
    if failed is not None:
        raise failed


def define(
    connection: libvirt.virConnect, caps: Capabilities, xml: str, *, validate: bool,
    known: set[Shape],
) -> str:  # fmt: skip
    """Define a domain, unless its name or UUID belongs to somebody else.

    Reading libvirt's schema takes it longer than everything else, so a document is held against it only
    if none of its shape was before; what stands in its places libvirt checks in any case.

    Args:
        connection: Where.
        caps: What it can do.
        xml: The document.
        validate: Hold it against libvirt's schema.
        known: Shapes that were found good on this connection; added to.
    """
    try:
        root = parsed(xml)
    except ET.ParseError as error:
        raise HypervisorError("Refused", f"not XML: {error}", step="define") from error
    name = root.findtext("name") or ""
    owner = owner_in(root)
    uuid = root.findtext("uuid")
    for found in (by_name(connection, name), fact(connection, uuid) if uuid else None):
        if found is not None and not (found.uuid == uuid and same_owner(found.owner, owner)):
            raise _taken(found, name)
    made: list[libvirt.virDomain] = []
    rungs: list[tuple[Capability | None, Callable[[], object]]] = [
        (None, lambda: made.append(connection.defineXML(xml)))
    ]
    shape = shape_of(root)
    if validate and shape not in known:
        flag = libvirt.VIR_DOMAIN_DEFINE_VALIDATE
        checked = (
            Capability.DEFINE_VALIDATE,
            lambda: made.append(connection.defineXMLFlags(xml, flag)),
        )
        rungs.insert(0, checked)
    ladder(caps, rungs, step="define")
    if validate:
        known.add(shape)
    return str(made[0].UUIDString())


def shape_of(root: ET.Element) -> Shape:
    """Return which elements and attributes a document has, in order, whatever stands in them.

    Example:
        >>> shape_of(ET.fromstring("<a b='1'><c>x</c></a>"))
        (('a', 'b', 1), ('c', 0))
    """
    return tuple((each.tag, *each.attrib, len(each)) for each in root.iter())


def same_owner(found: OwnerRecord | None, wanted: OwnerRecord | None) -> bool:
    """Say whether what was found belongs to the component that wants it."""
    return found is not None and wanted is not None and found.same_component(wanted)


def _taken(found: DomainFacts, name: str) -> HypervisorError:
    return taken(
        "domain", f"'{found.name}' with UUID {found.uuid}", found.state.value, found.owner, name
    )


def taken(
    kind: str, what: str, state: str, owner: OwnerRecord | None, name: str
) -> HypervisorError:
    """Say that something of somebody else is in the way, and whose it is."""
    whose = "not made by smartdomains"
    if owner is not None:
        whose = f"{owner.path} of application {owner.application} in {owner.community}"
    return HypervisorError(
        "NameTaken",
        f"a {kind} {what} exists already, {state}: {whose}",
        step="define",
        name=name,
        hint="choose another name, or end the other one first; it is never overwritten",
    )


def start(connection: libvirt.virConnect, caps: Capabilities, uuid: str, *, paused: bool) -> None:
    """Start a domain; without support for starting it paused, pause it at once."""
    domain = connection.lookupByUUIDString(uuid)
    if domain.isActive():
        _check_started_as_wanted(domain, paused=paused)
        return
    if not paused:
        domain.create()
        return

    def create_then_suspend() -> None:
        domain.create()
        domain.suspend()

    flag = libvirt.VIR_DOMAIN_START_PAUSED
    rungs: tuple[tuple[Capability | None, Callable[[], object]], ...] = (
        (Capability.START_PAUSED, lambda: domain.createWithFlags(flag)),
        (None, create_then_suspend),
    )
    ladder(caps, rungs, step="start")


def _check_started_as_wanted(domain: libvirt.virDomain, *, paused: bool) -> None:
    state, reason = state_of(*domain.state())
    if (state is DomainState.PAUSED) != paused:
        raise HypervisorError(
            "Refused",
            f"it is active already, {state.value} ({reason})",
            step="start",
            name=domain.name(),
            hint="suspend it" if paused else "resume it",
        )


def shutdown(connection: libvirt.virConnect, caps: Capabilities, uuid: str) -> None:
    """Ask a guest to stop: agent, else ACPI, else the driver's own way."""
    domain = connection.lookupByUUIDString(uuid)
    if not domain.isActive():
        return
    agent, acpi = (
        libvirt.VIR_DOMAIN_SHUTDOWN_GUEST_AGENT,
        libvirt.VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN,
    )
    rungs: tuple[tuple[Capability | None, Callable[[], object]], ...] = (
        (Capability.SHUTDOWN_AGENT, lambda: domain.shutdownFlags(agent)),
        (Capability.SHUTDOWN_ACPI, lambda: domain.shutdownFlags(acpi)),
        (None, domain.shutdown),
    )
    try:
        # One guest's agent being absent or silent says nothing of the others: no capability is
        # lowered for it, the next way is tried.
        ladder(caps, rungs, step="shutdown", fall_through=lambda _error: domain.isActive())
    except libvirt.libvirtError:
        if _active(connection, uuid):
            raise


def _active(connection: libvirt.virConnect, uuid: str) -> bool:
    domain = find(connection, uuid)
    return domain is not None and bool(domain.isActive())


def destroy(connection: libvirt.virConnect, caps: Capabilities, uuid: str, *, gentle: bool) -> None:
    """End the instance; done already, or no such domain, is success."""
    domain = find(connection, uuid)
    if domain is None or not domain.isActive():
        return
    graceful = libvirt.VIR_DOMAIN_DESTROY_GRACEFUL
    rungs: list[tuple[Capability | None, Callable[[], object]]] = [(None, domain.destroy)]
    if gentle:
        rungs.insert(0, (Capability.DESTROY_GRACEFUL, lambda: domain.destroyFlags(graceful)))
    try:
        ladder(caps, rungs, step="destroy")
    except libvirt.libvirtError:
        if _active(connection, uuid):
            raise


def undefine(connection: libvirt.virConnect, caps: Capabilities, uuid: str) -> None:
    """Forget a domain and what the hypervisor keeps with it."""
    domain = find(connection, uuid)
    if domain is None:
        return
    if domain.isActive():
        raise _would_be_transient(domain.name(), "it is active: it would go on, unlisted when off")
    saved = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
    snapshots = saved | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
    checkpoints = snapshots | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
    full = checkpoints | libvirt.VIR_DOMAIN_UNDEFINE_NVRAM
    rungs: tuple[tuple[Capability | None, Callable[[], object]], ...] = (
        (Capability.UNDEFINE_NVRAM, lambda: domain.undefineFlags(full)),
        (Capability.UNDEFINE_CHECKPOINTS, lambda: domain.undefineFlags(checkpoints)),
        (Capability.UNDEFINE_SNAPSHOTS, lambda: domain.undefineFlags(snapshots)),
        (Capability.UNDEFINE_SAVED, lambda: domain.undefineFlags(saved)),
        (None, domain.undefine),
    )
    try:
        ladder(caps, rungs, step="undefine")
    except libvirt.libvirtError:
        if find(connection, uuid) is not None:
            raise
    if _active(connection, uuid):
        # Somebody started it between the look and the call.
        raise _would_be_transient(domain.name(), "it was started meanwhile and is transient now")


def _would_be_transient(name: str, message: str) -> HypervisorError:
    return HypervisorError("Refused", message, step="undefine", name=name, hint="destroy it first")


def suspend(connection: libvirt.virConnect, uuid: str) -> None:
    """Pause a domain's CPUs."""
    domain = connection.lookupByUUIDString(uuid)
    if state_of(*domain.state())[0] is not DomainState.PAUSED:
        domain.suspend()


def resume(connection: libvirt.virConnect, uuid: str) -> None:
    """Let a domain's CPUs go on."""
    domain = connection.lookupByUUIDString(uuid)
    if state_of(*domain.state())[0] not in {DomainState.RUNNING, DomainState.BLOCKED}:
        domain.resume()


def agent(connection: libvirt.virConnect, uuid: str, command: str, limit_s: float) -> str:
    """Pass a command to the agent of a guest; libvirt waits whole seconds, at least one."""
    domain = connection.lookupByUUIDString(uuid)
    return str(libvirt_qemu.qemuAgentCommand(domain, command, max(1, round(limit_s)), 0))


def addresses(connection: libvirt.virConnect, caps: Capabilities, uuid: str) -> tuple[str, ...]:
    """Ask every source in turn for the addresses of a guest, apart from loopback and link-local."""
    domain = find(connection, uuid)
    if domain is None or not domain.isActive():
        return ()
    sources = [libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE]
    if Capability.AGENT in caps:
        sources.append(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    sources.append(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ARP)
    for source in sources:
        try:
            interfaces = domain.interfaceAddresses(source, 0)
        except libvirt.libvirtError:
            continue  # this source knows nothing of this guest
        found = tuple(
            each["addr"]
            for interface in (interfaces or {}).values()
            for each in interface["addrs"] or ()
            if not ipaddress.ip_address(each["addr"]).is_loopback
            and not ipaddress.ip_address(each["addr"]).is_link_local
        )
        if found:
            return found
    return ()
