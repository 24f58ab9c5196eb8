"""Operations on storage pools and volumes: plain functions that block, for worker threads.

As `operations` for domains: each takes an open connection and is idempotent as
`storage_protocol.Storage` promises; libvirt's errors pass through unmapped.
"""

from __future__ import annotations

import contextlib
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from typing import IO, TypeVar

import libvirt

from components.hypervisor.errors import HypervisorError
from components.hypervisor.storage_protocol import PoolFacts, VolumeFacts
from components.hypervisor.trusted_xml import parsed

T = TypeVar("T")

_KINDS = ("file", "block", "dir", "network", "netdir", "ploop")
"""In the order of libvirt's enumeration of volume types."""
_LABELED = {"disk", "logical"}
"""Pool types whose building writes to a device; done only where nothing is on it."""
_GONE = {libvirt.VIR_ERR_NO_STORAGE_POOL, libvirt.VIR_ERR_NO_STORAGE_VOL}
_USER = re.compile(r"\+(\d+):\+(\d+)")


def _unless_gone(work: Callable[[], T]) -> T | None:
    try:
        return work()
    except libvirt.libvirtError as error:
        if error.get_error_code() not in _GONE:
            raise
        return None


# -- pools


def _pool_facts(pool: libvirt.virStoragePool) -> PoolFacts:
    root = parsed(pool.XMLDesc(0))
    _state, capacity, _allocation, available = pool.info()
    return PoolFacts(
        uuid=pool.UUIDString(), name=pool.name(), active=bool(pool.isActive()),
        autostart=bool(pool.isPersistent() and pool.autostart()), type=root.get("type", ""),
        target=root.findtext("target/path") or "", capacity_bytes=capacity,
        available_bytes=available,
    )  # fmt: skip


def pools(connection: libvirt.virConnect) -> tuple[PoolFacts, ...]:
    """List all pools; one that vanishes meanwhile is left out."""
    listed = connection.listAllStoragePools(0)
    found = (_unless_gone(partial(_pool_facts, one)) for one in listed)
    return tuple(one for one in found if one is not None)


def pool(connection: libvirt.virConnect, uuid: str) -> PoolFacts | None:
    """Look at one pool."""
    return _unless_gone(lambda: _pool_facts(connection.storagePoolLookupByUUIDString(uuid)))


def pool_by_name(connection: libvirt.virConnect, name: str) -> PoolFacts | None:
    """Look at the pool of that name."""
    return _unless_gone(lambda: _pool_facts(connection.storagePoolLookupByName(name)))


def define(connection: libvirt.virConnect, xml: str) -> str:
    """Define a pool, unless another one has its name."""
    try:
        root = parsed(xml)
    except ET.ParseError as error:
        raise HypervisorError("Refused", f"not XML: {error}", step="define pool") from error
    name, uuid = root.findtext("name") or "", root.findtext("uuid") or ""
    found = pool_by_name(connection, name)
    if found is not None and found.uuid != uuid:
        raise HypervisorError(
            "NameTaken", f"a pool {name} exists already, with UUID {found.uuid}",
            step="define pool", name=name, hint="choose another name; it is never overwritten",
        )  # fmt: skip
    return str(connection.storagePoolDefineXML(xml, 0).UUIDString())


def start(connection: libvirt.virConnect, uuid: str, *, build: bool, autostart: bool) -> None:
    """Build and start a pool, or refresh one that is active."""
    found = connection.storagePoolLookupByUUIDString(uuid)
    if found.isActive():
        found.refresh(0)
    else:
        if build:
            _build(found)
        found.create(0)
    if bool(found.autostart()) != autostart:
        found.setAutostart(int(autostart))


def _build(found: libvirt.virStoragePool) -> None:
    kind = parsed(found.XMLDesc(0)).get("type", "")
    flags = libvirt.VIR_STORAGE_POOL_BUILD_NO_OVERWRITE if kind in _LABELED else 0
    try:
        found.build(flags)
    except libvirt.libvirtError as error:
        already = kind in _LABELED and "already" in str(error)
        if not already and error.get_error_code() != libvirt.VIR_ERR_NO_SUPPORT:
            raise


def refresh(connection: libvirt.virConnect, uuid: str) -> None:
    """Look what is in a pool."""
    connection.storagePoolLookupByUUIDString(uuid).refresh(0)


def stop(connection: libvirt.virConnect, uuid: str) -> None:
    """Stop a pool."""

    def end() -> None:
        found = connection.storagePoolLookupByUUIDString(uuid)
        if found.isActive():
            found.destroy()

    _unless_gone(end)


def remove_target(connection: libvirt.virConnect, uuid: str) -> bool:
    """Remove the folder of a pool if nothing is in it."""
    try:
        connection.storagePoolLookupByUUIDString(uuid).delete(0)
    except libvirt.libvirtError:
        return False
    return True


def undefine(connection: libvirt.virConnect, uuid: str) -> None:
    """Forget a pool."""
    _unless_gone(lambda: connection.storagePoolLookupByUUIDString(uuid).undefine())


# -- volumes


def _volume_facts(found: libvirt.virStorageVol) -> VolumeFacts:
    root = parsed(found.XMLDesc(0))
    kind, capacity, allocation = found.info()
    format_ = root.find("target/format")
    return VolumeFacts(
        name=found.name(), path=found.path(),
        kind=_KINDS[kind] if 0 <= kind < len(_KINDS) else "file",
        format="raw" if format_ is None else format_.get("type", "raw"),
        capacity_bytes=capacity, allocation_bytes=allocation,
        backing=root.findtext("backingStore/path") or "",
    )  # fmt: skip


def _volume(connection: libvirt.virConnect, uuid: str, name: str) -> libvirt.virStorageVol:
    return connection.storagePoolLookupByUUIDString(uuid).storageVolLookupByName(name)


def volume(connection: libvirt.virConnect, uuid: str, name: str) -> VolumeFacts | None:
    """Look at a volume."""
    return _unless_gone(lambda: _volume_facts(_volume(connection, uuid, name)))


def volume_at(connection: libvirt.virConnect, path: str) -> VolumeFacts | None:
    """Look up the volume at a path."""
    return _unless_gone(lambda: _volume_facts(connection.storageVolLookupByPath(path)))


def create(connection: libvirt.virConnect, uuid: str, xml: str, like: str) -> VolumeFacts:
    """Make a volume, empty or with the content of another."""
    found = connection.storagePoolLookupByUUIDString(uuid)
    if like:
        return _volume_facts(found.createXMLFrom(xml, connection.storageVolLookupByPath(like), 0))
    return _volume_facts(found.createXML(xml, 0))


class _Source:
    """Gives a file's data and holes to a stream, in the words libvirt calls back with."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._fd = file.fileno()
        self._size = os.fstat(self._fd).st_size

    def read(self, _stream: libvirt.virStream, length: int, _opaque: object) -> bytes:
        return os.read(self._fd, length)

    def section(self, _stream: libvirt.virStream, _opaque: object) -> list[int]:
        """Say whether data or a hole comes now, and how long it is."""
        here = os.lseek(self._fd, 0, os.SEEK_CUR)
        if here >= self._size:
            return [0, 0]
        try:
            data = os.lseek(self._fd, here, os.SEEK_DATA)
        except OSError:  # no data until the end
            data = self._size
        end = os.lseek(self._fd, here, os.SEEK_HOLE) if data == here else data
        os.lseek(self._fd, here, os.SEEK_SET)
        return [int(data == here), end - here]

    def skip(self, _stream: libvirt.virStream, length: int, _opaque: object) -> int:
        os.lseek(self._fd, length, os.SEEK_CUR)
        return 0


def upload(connection: libvirt.virConnect, uuid: str, name: str, path: str) -> None:
    """Write a file into a volume."""
    found = _volume(connection, uuid, name)
    with open(path, "rb") as file:  # noqa: PTH123 - a descriptor is what is wanted
        source = _Source(file)
        stream = connection.newStream(0)
        size = os.fstat(file.fileno()).st_size
        found.upload(stream, 0, size, libvirt.VIR_STORAGE_VOL_UPLOAD_SPARSE_STREAM)
        try:
            stream.sparseSendAll(source.read, source.section, source.skip, None)
        except BaseException:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
            raise
        stream.finish()


def resize(connection: libvirt.virConnect, uuid: str, name: str, capacity_bytes: int) -> None:
    """Make a volume larger."""
    found = _volume(connection, uuid, name)
    if found.info()[1] < capacity_bytes:
        found.resize(capacity_bytes, 0)


def wipe(connection: libvirt.virConnect, uuid: str, name: str) -> None:
    """Overwrite a volume."""
    _volume(connection, uuid, name).wipe(0)


def remove(connection: libvirt.virConnect, uuid: str, name: str) -> None:
    """Remove a volume."""
    _unless_gone(lambda: _volume(connection, uuid, name).delete(0))


def user(connection: libvirt.virConnect) -> tuple[int, int] | None:
    """Read who guests run as from what the driver says of its security model."""
    root = parsed(connection.getCapabilities())
    for model in root.iter("secmodel"):
        if model.findtext("model") == "dac":
            for label in model.findall("baselabel"):
                found = _USER.fullmatch(label.text or "")
                if found is not None:
                    return int(found[1]), int(found[2])
    return None
