"""Folders of the host that a guest can mount: what is said of them, and how they are served."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from msgspec import Struct

from components.domains.described import Conducted
from components.hypervisor.choice import sees_our_files
from engine.core.faults import BadDescription, Refused
from engine.runtime.kinds import BadValueError, Kind, plain, shown
from sfdl.values import Value

Driver = Literal["virtiofs", "9p"]
SERVERS = (Path("/usr/libexec/virtiofsd"), Path("/usr/lib/qemu/virtiofsd"))
"""Where the program is that serves virtiofs."""
MOST_TAG = 31
"""Bytes of the longest name that both ways can have."""


class SharedFolder(Struct, frozen=True):
    """A folder of the host that a guest can mount.

    Attributes:
        path: Absolute path on the host.
        tag: Name the guest mounts it by.
        read_only: The guest cannot write to it.
    """

    path: str
    tag: str
    read_only: bool = False

    def driver(self, *, virtiofs: bool) -> Driver:
        """Return how it is served: by virtiofs where that can be had, which knows no reading only.

        Example:
            >>> SharedFolder("/srv", "srv").driver(virtiofs=True)
            'virtiofs'
            >>> SharedFolder("/srv", "srv", read_only=True).driver(virtiofs=True)
            '9p'
        """
        return "virtiofs" if virtiofs and not self.read_only else "9p"


def _folder(row: object) -> SharedFolder:
    words = list(row) if isinstance(row, tuple) else []
    path, tag, read_only = [*words, False][:3] if len(words) in {2, 3} else ("", "", None)
    if not (isinstance(path, str) and isinstance(tag, str) and isinstance(read_only, bool)):
        raise BadValueError("must be a list of [folder, tag, readOnly]; readOnly may be left out")
    if not path.startswith("/"):
        raise BadValueError(f"a folder must be an absolute path (got {path!r})")
    if not tag or len(tag.encode()) > MOST_TAG or not tag.isprintable():
        raise BadValueError(f"a tag must have 1 to {MOST_TAG} bytes (got {tag!r})")
    return SharedFolder(path, tag, read_only)


def _folders(value: Value) -> tuple[SharedFolder, ...]:
    rows = plain(value)
    if not isinstance(rows, tuple):
        raise BadValueError(f"must be a list of [folder, tag, readOnly] (got {shown(value)})")
    folders = tuple(_folder(row) for row in rows)
    tags = [folder.tag for folder in folders]
    twice = next((tag for tag in tags if tags.count(tag) > 1), "")
    if twice:
        raise BadValueError(f"two folders cannot both be called {twice!r}")
    return folders


shares_kind = Kind("list of [folder, tag, readOnly]", "Vector", _folders)


@cache
def serves_virtiofs(uri: str) -> bool:
    """Say whether a hypervisor of this host can serve by virtiofs, which needs root and a program.

    That is looked at once in the life of a daemon.
    """
    return sees_our_files(uri) and os.geteuid() == 0 and any(path.exists() for path in SERVERS)


def check_shares(domain: Conducted, folders: Sequence[SharedFolder], uri: str) -> None:
    """Refuse folders that are not there, and what cannot be had together with any.

    Raises:
        BadDescription: Two attributes contradict each other.
        Refused: A folder is not on this host.
    """
    if not folders:
        return
    for name, value in (("stopMode", domain.stop_mode), ("onDaemonStop", domain.on_daemon_stop)):
        if value == "save":
            raise BadDescription(
                f'shares and {name} "save" cannot be had together: a guest that has mounted a folder of '
                "its host cannot be saved",
                code="SF-DOM-023", where=domain.path, hint=f'say {name} "graceful", or leave shares out',
            )  # fmt: skip
    if not sees_our_files(uri):
        return
    for folder in folders:
        if not Path(folder.path).is_dir():
            raise Refused(
                f"there is no folder {folder.path} on this host", code="SF-DOM-023", where=domain.path,
                hint="shares are folders of the host the machine runs on",
            )  # fmt: skip
