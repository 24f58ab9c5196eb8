"""From a pool's or volume's specification to its libvirt XML. Pure."""

from __future__ import annotations

from typing import Annotated

import msgspec

from components.hypervisor.xmltree import At, Element, write

TYPES = ("dir", "fs", "netfs", "logical", "disk", "iscsi", "rbd", "zfs")
NEEDS = {
    "dir": ("target",), "fs": ("target", "sourceDevices"),
    "netfs": ("target", "sourceHost", "sourcePath"), "logical": ("sourceName",),
    "disk": ("sourceDevices",), "iscsi": ("sourceHost", "sourceDevices", "target"),
    "rbd": ("sourceHost", "sourceName"), "zfs": ("sourceName",),
}  # fmt: skip
"""What a description must say for each type; a `dir` gets a target of the daemon's own."""
IN_FILES = {"dir", "fs", "netfs"}
"""Types whose volumes are files."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who may use a pool's folder or a volume.

    Attributes:
        mode: Octal, as "0600"; empty: libvirt's default.
        owner: Number of the user; none: the hypervisor's default.
        group: Number of the group.
    """

    mode: str = ""
    owner: int | None = None
    group: int | None = None


class PoolSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A pool as it shall be defined; empty texts are left out.

    Attributes:
        name: 1 to 63 of letters, digits and `._+-`.
        uuid: With dashes.
        type: One of `TYPES`.
        target: Folder on the hypervisor's host.
        host: Where the source is.
        path: Folder there.
        devices: Devices of the source.
        source_name: Name of a volume group, pool or the like.
        source_format: Such as "nfs", "ext4", "lvm2".
    """

    name: str
    uuid: str
    type: str = "dir"
    target: str = ""
    host: str = ""
    path: str = ""
    devices: tuple[str, ...] = ()
    source_name: str = ""
    source_format: str = ""
    access: Access = Access()


class AccessXml(Element, frozen=True):
    """<permissions>."""

    mode: Annotated[str, At("mode")]
    owner: Annotated[int | None, At("owner")]
    group: Annotated[int | None, At("group")]


class DeviceXml(Element, frozen=True):
    """<device>."""

    path: Annotated[str, At("@path")]


class SourceXml(Element, frozen=True):
    """<source>."""

    host: Annotated[str, At("host/@name")]
    directory: Annotated[str, At("dir/@path")]
    device: Annotated[tuple[DeviceXml, ...], At(".")]
    name: Annotated[str, At("name")]
    format: Annotated[str, At("format/@type")]


class PoolXml(Element, frozen=True):
    """<pool>."""

    type: Annotated[str, At("@type")]
    name: Annotated[str, At("name")]
    uuid: Annotated[str, At("uuid")]
    source: Annotated[SourceXml | None, At(".")]
    path: Annotated[str, At("target/path")]
    permissions: Annotated[AccessXml | None, At("target")]


class VolumeXml(Element, frozen=True):
    """<volume>."""

    name: Annotated[str, At("name")]
    capacity: Annotated[int, At("capacity")]
    allocation: Annotated[int | str, At("allocation")]
    format: Annotated[str, At("target/format/@type")]
    permissions: Annotated[AccessXml | None, At("target")]
    backing: Annotated[str, At("backingStore/path")]
    backing_format: Annotated[str, At("backingStore/format/@type")]


def _access(access: Access) -> AccessXml | None:
    if access == Access():
        return None
    return AccessXml(mode=access.mode, owner=access.owner, group=access.group)


def pool_xml(spec: PoolSpec) -> str:
    """Write a pool's XML.

    Raises:
        BadSpecError: A text holds a control character.

    Example:
        >>> uuid = "6ba7b810-9dad-51d1-80b4-00c04fd430c8"
        >>> pool_xml(PoolSpec(name="p", uuid=uuid, target="/srv/p")).splitlines()[1]
        '  <name>p</name>'
    """
    source = None
    if spec.host or spec.path or spec.devices or spec.source_name:
        source = SourceXml(
            host=spec.host, directory=spec.path, name=spec.source_name, format=spec.source_format,
            device=tuple(DeviceXml(path=path) for path in spec.devices),
        )  # fmt: skip
    return write(
        "pool",
        PoolXml(
            type=spec.type, name=spec.name, uuid=spec.uuid, source=source, path=spec.target,
            permissions=_access(spec.access),
        ),
    )  # fmt: skip


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as it shall be made.

    Attributes:
        name: In its pool.
        capacity_bytes: What a machine sees.
        format: "raw", "qcow2"; empty where the pool's volumes are devices.
        sparse: Take space as it is written.
        backing: Path of what it is a layer of; empty for none.
        backing_format: Of that; never guessed.
    """

    name: str
    capacity_bytes: int
    format: str = "raw"
    sparse: bool = True
    backing: str = ""
    backing_format: str = ""
    access: Access = Access()


def volume_xml(spec: VolumeSpec) -> str:
    """Write a volume's XML.

    Raises:
        BadSpecError: A text holds a control character.

    Example:
        >>> volume_xml(VolumeSpec(name="v", capacity_bytes=512)).splitlines()[3]
        '  <allocation>0</allocation>'
    """
    return write(
        "volume",
        VolumeXml(
            name=spec.name, capacity=spec.capacity_bytes,
            allocation="0" if spec.sparse else spec.capacity_bytes, format=spec.format,
            permissions=_access(spec.access), backing=spec.backing,
            backing_format=spec.backing_format if spec.backing else "",
        ),
    )  # fmt: skip
