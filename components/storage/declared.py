"""What a description may say of the storage of one domain, whatever kind of volumes it has."""

from __future__ import annotations

import shlex

from msgspec import Struct

from components.hypervisor.names import name_kind
from components.images.base_image import BaseImage
from components.images.kinds import digest_kind
from components.reporting import Reporting
from components.storage.keeping import AS_BEFORE, keep_kind
from components.storage.limits import limits_kind
from components.storage.saving import EXTENSIONS
from components.surroundings.workplace import Workplace
from components.system.shell import Shell
from engine.runtime.attributes import attr, link
from engine.runtime.kinds import (
    BadValueError,
    Kind,
    bool_,
    duration_s,
    int_,
    list_,
    shown,
    size_bytes,
    str_,
    strings,
)
from sfdl.values import Value

ON_THE_DOMAIN = (
    "baseImage", "imageDigest", "volumeSize", "swapSize", "volumeBaseName", "usingExistingVolumes",
    "volumeNames", "keepVolumes", "keepOnFailure", "makeFs", "tempMountPoint", "saveImage",
    "saveImageName", "saveImagePath", "saveImageExtension", "saveImageOn", "saveImageKeep",
    "dataVolumes", "populateMode", "spaceReserve", "preallocate", "wipeOnRemove", "provisionOn",
    "saveImageSysprep", "ioLimits",
)  # fmt: skip
"""Storage attributes that may stand on the domain instead; there they win."""


def _command(value: Value) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(value)) if isinstance(value, str) else ()
    except ValueError as error:
        raise BadValueError(f"cannot be split into words: {error} (got {shown(value)})") from error
    if not words:
        raise BadValueError(f"must be a program and its arguments (got {shown(value)})")
    return words


command_kind = Kind("program and arguments", "String", _command)


def _names(value: Value) -> tuple[str, ...]:
    return tuple(name_kind.read(name) for name in strings.read(value))


names_kind = Kind("list of names", "Vector", _names)


class DataVolume(Struct, frozen=True):
    """A further volume.

    Attributes:
        name: Last part of its name.
        size_bytes: Its size.
        make_fs: Filesystem maker and arguments; empty: the backend's `makeFs`; `none` leaves it raw.
    """

    name: str
    size_bytes: int
    make_fs: tuple[str, ...] = ()


def _data_volume(row: object) -> DataVolume:
    if not (isinstance(row, tuple) and len(row) in {2, 3}):
        raise BadValueError(f"must be a list of [name, size, filesystem] (got {row!r})")
    name, size, *rest = row
    if not name_kind.read(name):
        raise BadValueError("each volume needs a name")
    size_ = size_bytes.read(size)
    if size_ < 2**20:
        raise BadValueError(f"volume {name} must have at least 1 MiB (got {shown(size)})")
    words = command_kind.read(rest[0]) if rest and rest[0] else ()
    if words and words[0].startswith(("ext", "xfs", "btrfs")):
        words = (f"mkfs.{words[0]}", *words[1:])
    return DataVolume(name, size_, words)


def _data(value: Value) -> tuple[DataVolume, ...]:
    volumes = tuple(_data_volume(row) for row in list_.read(value))
    names = [volume.name for volume in volumes]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice or "swap" in names:
        raise BadValueError(f"two volumes cannot both be called {twice or 'swap'}")
    return volumes


data_kind = Kind("list of [name, size, filesystem]", "Vector", _data)


class StorageAttributes(Workplace, Reporting):
    """The attributes that all backends have; many of them may stand on the domain instead."""

    shell = link(
        Shell, doc="Runs the host commands; the daemon itself if not given.", required=False
    )
    domain_name = attr(
        name_kind, "", doc="Prefix of volume names; the domain's if empty.", called="domainName"
    )
    base_image = link(
        BaseImage, doc="What fills the root volume: a path, or an image component.",
        called="baseImage", required=False, text=True,
    )  # fmt: skip
    image_digest = attr(
        digest_kind, "", doc="sha256:... of the image, checked before anything is written.",
        called="imageDigest",
    )  # fmt: skip
    volume_size = attr(size_bytes, "1g", ge=2**20, doc="Root volume.", called="volumeSize")
    swap_size = attr(size_bytes, "512m", doc="Swap volume; 0 for none.", called="swapSize")
    data_volumes = attr(
        data_kind, None, called="dataVolumes",
        doc="Further volumes, a list of [name, size, filesystem]; ext4, or a maker and arguments.",
    )  # fmt: skip
    volume_base_name = attr(
        name_kind, "volume1", doc="Middle part of volume names.", called="volumeBaseName"
    )
    using_existing_volumes = attr(
        bool_, False, doc="Take volumes that are there as they are.", called="usingExistingVolumes"
    )
    volume_names = attr(
        names_kind, None, doc="Names of the volumes, root first; derived if not given.",
        called="volumeNames",
    )  # fmt: skip
    keep_volumes = attr(
        keep_kind, AS_BEFORE,
        doc="Whether volumes stay at the end; statuquo: those stay that were there before.",
        called="keepVolumes",
    )  # fmt: skip
    keep_on_failure = attr(
        duration_s, 3600, doc="Seconds volumes stay after a failure, to be looked at.",
        called="keepOnFailure",
    )  # fmt: skip
    make_fs = attr(
        command_kind, "mkfs.ext3", doc="Filesystem maker and arguments.", called="makeFs"
    )
    temp_mount_point = attr(
        str_, "/tmp/mnt",  # noqa: S108 - the name SmartDomains gives
        doc="Where a folder is made to mount a volume that cannot be filled otherwise.",
        called="tempMountPoint",
    )  # fmt: skip
    populate_mode = attr(
        str_, "auto", choices=("auto", "offline", "mount", "copy"), called="populateMode",
        doc="How the root volume is filled: offline builds a filesystem without mounting it (ext "
        "only), mount needs root, copy takes a disk as it is; auto chooses.",
    )  # fmt: skip
    space_reserve = attr(
        size_bytes, "1g", doc="Space that stays free on the host.", called="spaceReserve"
    )
    preallocate = attr(
        str_, "sparse", choices=("sparse", "falloc", "full"),
        doc="Whether a volume takes its space at once: falloc reserves it, full writes it.",
    )  # fmt: skip
    wipe_on_remove = attr(
        bool_, False, doc="Overwrite volumes before they are removed.", called="wipeOnRemove"
    )
    io_limits = attr(
        limits_kind, None, called="ioLimits",
        doc="Most its guest gets of each volume in a second, as DATA with bytes, readBytes and "
        "writeBytes (sizes), iops, readIops and writeIops; no limits if not given.",
    )  # fmt: skip
    provision_on = attr(
        str_, "start", choices=("start", "attach"), called="provisionOn",
        doc="When volumes are made: as the backend starts, or as its domain does.",
    )  # fmt: skip
    save_image = attr(bool_, False, doc="Pack the root filesystem at the end.", called="saveImage")
    save_image_name = attr(
        name_kind, "", doc="Stem of the image; domain and time if empty.", called="saveImageName"
    )
    save_image_path = attr(
        str_, "/tmp",  # noqa: S108 - the default SmartDomains gives
        doc="Folder of the image on the host.", called="saveImagePath",
    )  # fmt: skip
    save_image_extension = attr(
        str_, "tar", choices=EXTENSIONS, doc="How it is packed.", called="saveImageExtension"
    )
    save_image_on = attr(
        str_, "normal", choices=("normal", "always", "abnormal", "never"),
        doc="After which ends.", called="saveImageOn",
    )  # fmt: skip
    save_image_keep = attr(
        int_, 0, ge=0, doc="How many images of that stem stay; 0 for all.", called="saveImageKeep"
    )
    save_image_sysprep = attr(
        bool_, False, called="saveImageSysprep",
        doc="Leave out of a packed image what is one machine's own: host keys, machine id, seeds, "
        "leases.",
    )  # fmt: skip
