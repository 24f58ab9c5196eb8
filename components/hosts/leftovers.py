"""What else than domains is left of components that do not exist any more: networks, volumes, pools.

They are told of and never removed: a volume that somebody chose to keep looks like a forgotten one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from components.hosts.orphans import Known
from components.hypervisor.protocol import NetworkFacts
from engine.core.decoding import from_json
from engine.runtime.effects import Owner

RECORD = ".owner.json"
PLACES = ("volumes/*", "lvm/*/*", "pools/*/*")
"""Where records of owners stand, below the folder of a daemon."""


class Leftover(Struct, frozen=True):
    """Something of ours without a component.

    Attributes:
        kind: `network`, `volume` or `storage pool`.
        name: Name of a network, else its path; of a pool its UUID.
        path: Complete name of the component that it was made for.
    """

    kind: str
    name: str
    path: str

    def line(self) -> str:
        """Say in one line what it is."""
        return f"{self.kind} {self.name} ({self.path})"


class _Beside(Struct, frozen=True):
    owner: Owner


def networks_left(networks: Iterable[NetworkFacts], known: Known) -> Iterator[Leftover]:
    """Give the networks that this very process made, and nobody has any more."""
    for facts in networks:
        record = facts.owner
        if record is None or (record.community, record.daemon) != (known.community, known.daemon):
            continue
        if (record.application, record.path) not in known.places:
            yield Leftover("network", facts.name, record.path)


def files_left(folder: Path, known: Known) -> Iterator[Leftover]:
    """Give the volumes and pools with a record in a daemon's folder that nobody has; blocks.

    Args:
        folder: Where the daemon works.
        known: What there is to compare with.
    """
    for place in PLACES:
        for file in sorted(folder.glob(f"{place}{RECORD}")):
            owner = _owner(file)
            if owner is None or owner.community != known.community:
                continue
            if (owner.application, owner.path) in known.places:
                continue
            name = file.name.removesuffix(RECORD)
            if not place.startswith("pools"):
                yield Leftover("volume", str(file.with_name(name)), owner.path)
            elif name.startswith("volume-"):
                yield Leftover("volume", name.removeprefix("volume-"), owner.path)
            else:
                yield Leftover("storage pool", file.parent.name, owner.path)


def _owner(file: Path) -> Owner | None:
    """Read a record, which stands alone or with more beside it; nothing if it is half written."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    with contextlib.suppress(msgspec.MsgspecError):
        return from_json(data, Owner)
    with contextlib.suppress(msgspec.MsgspecError):
        return from_json(data, _Beside).owner
    return None
