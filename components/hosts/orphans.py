"""Domains with a record of ours whose component does not exist any more.

A domain is an orphan for certain when this very process made it, holds no such component and no longer
has it in its ledger. Where another daemon made it, only that daemon can tell; if it is none that is
known here, the domain is reported, and left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable

from msgspec import Struct

from components.hypervisor.errors import HypervisorError
from components.hypervisor.protocol import DomainFacts, Hypervisor
from engine.core.faults import EngineError
from engine.runtime.process import Process


class Orphan(Struct, frozen=True):
    """A domain without a component.

    Attributes:
        path: Complete name of the component that it was made for.
        certain: This process made it, and may remove it.
    """

    uuid: str
    name: str
    path: str
    incarnation: int
    certain: bool

    def line(self) -> str:
        """Say in one line what it is."""
        whose = "" if self.certain else ", made by a daemon not known here"
        return f"{self.name} ({self.path}{whose})"


class Known(Struct, frozen=True):
    """What there is to compare with.

    Attributes:
        community: The user's.
        daemon: Id of this process.
        others: Ids of other processes that answer for what they made.
        places: Application and complete name of every component here, and of all that is still to be
            undone.
    """

    community: str
    daemon: str
    others: frozenset[str]
    places: frozenset[tuple[str, str]]


def orphans_among(domains: Iterable[DomainFacts], known: Known) -> tuple[Orphan, ...]:
    """Find the orphans among a hypervisor's domains; what is foreign never is one."""
    found = []
    for facts in domains:
        record = facts.owner
        if record is None or record.community != known.community:
            continue
        if record.daemon in known.others or (record.application, record.path) in known.places:
            continue
        certain = record.daemon == known.daemon
        found.append(Orphan(facts.uuid, facts.name, record.path, record.incarnation, certain))
    return tuple(sorted(found, key=lambda orphan: orphan.name))


async def known_to(process: Process, suspects: Collection[str]) -> Known:
    """Put together what this process knows; other daemons are asked only if there are suspects.

    Args:
        process: This one.
        suspects: Ids of processes, other than this one, that made something of unknown fate.
    """
    places = {(live.owner.application, live.owner.path) for live in process.lives.values()}
    rows = (item.made.row for item in process.reaper.items)
    places |= {(row.application, row.path) for row in rows}
    others = frozenset(await _met(process)) if suspects else frozenset()
    return Known(process.community, process.daemon_id, others, frozenset(places))


async def _met(process: Process) -> set[str]:
    """Return the ids of all daemons and sub-processes that were ever met."""
    await process.peers.survey()
    for address in process.subprocesses.addresses.values():
        with contextlib.suppress(EngineError):
            await process.peers.hello(address)
    return {welcome.daemon for _, welcome in process.peers.met().values() if welcome is not None}


def suspects_among(domains: Iterable[DomainFacts], community: str, daemon: str) -> set[str]:
    """Return the ids of other processes that made domains of this community."""
    records = (facts.owner for facts in domains)
    return {
        record.daemon
        for record in records
        if record is not None and record.community == community and record.daemon != daemon
    }


async def remove(hypervisor: Hypervisor, orphan: Orphan, process: Process) -> bool:
    """Remove an orphan, if it still is one; say whether it was.

    Raises:
        HypervisorError: It could not be removed.
    """
    facts = await hypervisor.fact(orphan.uuid)
    if facts is None or not orphan.certain:
        return False
    still = orphans_among([facts], await known_to(process, ()))
    if orphan not in still:
        return False
    if facts.active:
        try:
            await hypervisor.destroy(orphan.uuid, gentle=True)
        except HypervisorError:
            await hypervisor.destroy(orphan.uuid, gentle=False)
    await hypervisor.undefine(orphan.uuid)
    return True
