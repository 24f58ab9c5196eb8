"""What is done to single machines, in libvirt's words: plain functions that block; see `operations`."""

from __future__ import annotations

from collections.abc import Sequence

import libvirt
import libvirt_qemu

from components.hypervisor.errors import HypervisorError
from components.hypervisor.machines import Picture, Share, kib_per_s
from components.hypervisor.operations import by_name, fact, find, same_owner, taken
from components.hypervisor.owner import NAMESPACE, OwnerRecord, owner_in, owner_text
from components.hypervisor.trusted_xml import parsed

LIVE, CONFIG = libvirt.VIR_DOMAIN_AFFECT_LIVE, libvirt.VIR_DOMAIN_AFFECT_CONFIG
CANNOT = {
    libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED, libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
}  # fmt: skip
"""libvirt's numbers for what a driver cannot do."""
MOST_PICTURE = 2**26
"""Bytes of the largest picture of a screen that is taken."""
FIRST_NETDEV = "hostnet0"
"""What the emulator calls the host's side of a guest's first interface."""
PERIOD_US = 100_000
"""Microseconds over which a limit of processor time is held."""


def save(connection: libvirt.virConnect, uuid: str) -> None:
    """Save a domain's memory and stop it."""
    domain = connection.lookupByUUIDString(uuid)
    if domain.isActive():
        domain.managedSave(0)


def is_saved(connection: libvirt.virConnect, uuid: str) -> bool:
    """Say whether there is a saved state."""
    domain = find(connection, uuid)
    return domain is not None and bool(domain.hasManagedSaveImage(0))


def claim(connection: libvirt.virConnect, uuid: str, owner: OwnerRecord) -> None:
    """Write the owner record anew."""
    domain = connection.lookupByUUIDString(uuid)
    flags = (LIVE if domain.isActive() else 0) | (CONFIG if domain.isPersistent() else 0)
    kind = libvirt.VIR_DOMAIN_METADATA_ELEMENT
    domain.setMetadata(kind, owner_text(owner), "smartdomains", NAMESPACE, flags)


def create(connection: libvirt.virConnect, xml: str) -> str:
    """Start a transient domain, unless its name or UUID belongs to somebody else."""
    root = parsed(xml)
    name, uuid, owner = root.findtext("name") or "", root.findtext("uuid") or "", owner_in(root)
    for found in (by_name(connection, name), fact(connection, uuid) if uuid else None):
        if found is None:
            continue
        if found.uuid == uuid and found.active and same_owner(found.owner, owner):
            return uuid
        whose = f"'{found.name}' with UUID {found.uuid}"
        raise taken("domain", whose, found.state.value, found.owner, name)
    return str(connection.createXML(xml, 0).UUIDString())


def rename(connection: libvirt.virConnect, uuid: str, name: str) -> None:
    """Give it another name."""
    domain = connection.lookupByUUIDString(uuid)
    if domain.name() != name:
        domain.rename(name, 0)


def autostart(connection: libvirt.virConnect, uuid: str, *, on: bool) -> None:
    """Say whether it starts with the host."""
    connection.lookupByUUIDString(uuid).setAutostart(int(on))


def starts_with_host(connection: libvirt.virConnect, uuid: str) -> bool:
    """Say whether it starts with the host."""
    domain = connection.lookupByUUIDString(uuid)
    return bool(domain.isPersistent() and domain.autostart())


def reboot(connection: libvirt.virConnect, uuid: str) -> None:
    """Ask the guest to reboot."""
    connection.lookupByUUIDString(uuid).reboot(0)


def reset(connection: libvirt.virConnect, uuid: str) -> None:
    """Press reset."""
    connection.lookupByUUIDString(uuid).reset(0)


def keys(connection: libvirt.virConnect, uuid: str, codes: Sequence[int]) -> None:
    """Press keys for a tenth of a second."""
    domain = connection.lookupByUUIDString(uuid)
    domain.sendKey(libvirt.VIR_KEYCODE_SET_LINUX, 100, list(codes), len(codes), 0)


def forward(connection: libvirt.virConnect, uuid: str, rules: Sequence[str]) -> None:
    """Have the emulator lead ports of the host to the guest; libvirt 9.0 has no words for that."""
    domain = connection.lookupByUUIDString(uuid)

    def monitor(words: str) -> str:
        human = libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        return str(libvirt_qemu.qemuMonitorCommand(domain, words, human)).strip()

    for rule in rules:
        monitor(f"hostfwd_remove {FIRST_NETDEV} {rule.partition('-')[0]}")
        said = monitor(f"hostfwd_add {FIRST_NETDEV} {rule}")
        if said:
            raise HypervisorError("Refused", said, step="forward", name=domain.name())


def screenshot(connection: libvirt.virConnect, uuid: str) -> Picture:
    """Take a picture of the first screen, piece by piece."""
    domain = connection.lookupByUUIDString(uuid)
    stream = connection.newStream()
    pieces: list[bytes] = []

    def take(_stream: libvirt.virStream, data: bytes, _opaque: object) -> int:
        pieces.append(data)
        size = sum(map(len, pieces))
        if size > MOST_PICTURE:
            raise HypervisorError(
                "Refused", f"the picture has more than {MOST_PICTURE} bytes", step="screenshot",
                name=domain.name(),
            )  # fmt: skip
        return 0

    kind = str(domain.screenshot(stream, 0))
    stream.recvAll(take, None)
    stream.finish()
    return Picture(kind, b"".join(pieces))


def dump(connection: libvirt.virConnect, uuid: str, path: str) -> None:
    """Write the memory alone where the driver can, which leaves out what devices map into it."""
    domain = connection.lookupByUUIDString(uuid)
    try:
        domain.coreDump(path, libvirt.VIR_DUMP_MEMORY_ONLY)
    except libvirt.libvirtError as error:
        if error.get_error_code() not in CANNOT and "unsupported flags" not in str(error):
            raise
        domain.coreDump(path, 0)


def memory(connection: libvirt.virConnect, uuid: str, size_bytes: int) -> None:
    """Set the balloon."""
    connection.lookupByUUIDString(uuid).setMemoryFlags(size_bytes // 1024, LIVE)


def vcpus(connection: libvirt.virConnect, uuid: str, count: int) -> None:
    """Set the number of processors."""
    connection.lookupByUUIDString(uuid).setVcpusFlags(count, LIVE)


def share(connection: libvirt.virConnect, uuid: str, wanted: Share) -> None:
    """Set weight and cap, under the names the driver's scheduler has for them."""
    domain = connection.lookupByUUIDString(uuid)
    known = domain.schedulerParameters()
    values: dict[str, int] = {}
    if wanted.weight is not None:
        values["cpu_shares" if "cpu_shares" in known else "weight"] = wanted.weight
    if wanted.percent is not None and "cap" in known:
        values["cap"] = wanted.percent
    elif wanted.percent is not None and "vcpu_quota" in known:
        values["vcpu_period"] = PERIOD_US
        values["vcpu_quota"] = wanted.percent * PERIOD_US // 100 or -1
    elif wanted.percent is not None:
        raise HypervisorError(
            "Unsupported", "its scheduler knows no limit of processor time", step="share",
            name=domain.name(),
        )  # fmt: skip
    if values:
        domain.setSchedulerParameters(values)


def pin(connection: libvirt.virConnect, uuid: str, cpus: Sequence[int]) -> None:
    """Pin all processors of a domain."""
    domain = connection.lookupByUUIDString(uuid)
    host = connection.getInfo()[2]
    chosen = set(cpus) or set(range(host))
    if not chosen <= set(range(host)):
        raise HypervisorError(
            "Refused", f"the host has no processor {max(chosen)}, only 0 to {host - 1}", step="pin",
            name=domain.name(),
        )  # fmt: skip
    mask = tuple(index in chosen for index in range(host))
    for number in range(domain.info()[3]):
        domain.pinVcpu(number, mask)


def bandwidth(
    connection: libvirt.virConnect, uuid: str, mac: str, into_kbps: int, out_kbps: int
) -> None:
    """Limit an interface; libvirt counts in KiB/s."""
    domain = connection.lookupByUUIDString(uuid)
    values = {"inbound.average": kib_per_s(into_kbps), "outbound.average": kib_per_s(out_kbps)}
    domain.setInterfaceParameters(mac, values, LIVE)


def attach(connection: libvirt.virConnect, uuid: str, device: str) -> None:
    """Plug a device in."""
    connection.lookupByUUIDString(uuid).attachDeviceFlags(device, LIVE)


def detach(connection: libvirt.virConnect, uuid: str, device: str) -> None:
    """Pull a device out."""
    connection.lookupByUUIDString(uuid).detachDeviceFlags(device, LIVE)


def resize_disk(connection: libvirt.virConnect, uuid: str, target: str, size_bytes: int) -> None:
    """Grow a disk."""
    domain = connection.lookupByUUIDString(uuid)
    domain.blockResize(target, size_bytes, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
