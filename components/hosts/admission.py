"""Whether a host takes one more machine: the decision, without looking at anything. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from engine.runtime.kinds import Kind, bool_, float_, int_, size_bytes, spell_size

LEAST_RESERVE = 512 * 2**20
"""Bytes a host keeps for itself at least, where its description says nothing."""
RESERVED_SHARE = 0.05
MEMORY_FACTOR, CPU_FACTOR = 1.0, 4.0
"""Over-commitment where nothing is said."""
PARALLEL_CREATES = 4

LIMITS: Mapping[str, tuple[str, Kind[Any]]] = {
    "reservedMemory": ("reserved_memory", size_bytes),
    "reservedCpus": ("reserved_cpus", float_),
    "memoryOvercommit": ("memory_overcommit", float_),
    "cpuOvercommit": ("cpu_overcommit", float_),
    "maxDomains": ("max_domains", int_),
    "maxParallelCreates": ("parallel_creates", int_),
    "maintenance": ("maintenance", bool_),
}
"""Attributes that a machine finds above itself: the field of `Rules`, and how each is read."""


class Demand(Struct, frozen=True):
    """What one machine takes."""

    memory_bytes: int
    vcpus: int


class Capacity(Struct, frozen=True):
    """What a hypervisor's machine has.

    Attributes:
        invented: Nothing is really there, as with libvirt's test driver: its figures bound nothing
            but where a description gives a factor itself.
    """

    memory_bytes: int
    cpus: int
    invented: bool = False


class Rules(Struct, frozen=True):
    """The limits a machine found above itself; nothing: what is usual.

    Attributes:
        reserved_memory: Bytes for the host itself.
        reserved_cpus: CPUs for the host itself.
        max_domains: Most machines of ours; 0: no limit.
        parallel_creates: Most machines being started at a time.
        maintenance: No new machines.
    """

    reserved_memory: int | None = None
    reserved_cpus: float | None = None
    memory_overcommit: float | None = None
    cpu_overcommit: float | None = None
    max_domains: int | None = None
    parallel_creates: int | None = None
    maintenance: bool | None = None

    @property
    def creates(self) -> int:
        """Return how many machines may be created at a time; at least one."""
        given = self.parallel_creates
        return max(1, PARALLEL_CREATES if given is None else given)


class Refusal(Struct, frozen=True):
    """Why a machine is not taken: a code, a sentence, and what may be done."""

    code: str
    text: str
    hint: str


def room(capacity: Capacity, rules: Rules) -> tuple[float | None, float | None]:
    """Return the bytes and CPUs all machines together may take; nothing: no limit.

    Example:
        >>> gib = 2**30
        >>> room(Capacity(4 * gib, 2), Rules())[0] / gib, room(Capacity(4 * gib, 2), Rules())[1]
        (3.5, 8.0)
        >>> room(Capacity(4 * gib, 2, invented=True), Rules(cpu_overcommit=1.5))
        (None, 3.0)
    """
    memory: float | None = None
    cpus: float | None = None
    if rules.memory_overcommit is not None or not capacity.invented:
        kept = rules.reserved_memory
        if kept is None:
            kept = max(LEAST_RESERVE, round(capacity.memory_bytes * RESERVED_SHARE))
        memory = max(0, capacity.memory_bytes - kept) * _given(
            rules.memory_overcommit, MEMORY_FACTOR
        )
    if rules.cpu_overcommit is not None or not capacity.invented:
        left = max(0.0, capacity.cpus - (rules.reserved_cpus or 0.0))
        cpus = left * _given(rules.cpu_overcommit, CPU_FACTOR)
    return memory, cpus


def bounded(capacity: Capacity, rules: Rules) -> bool:
    """Say whether it matters what others have reserved."""
    return bool(rules.max_domains) or room(capacity, rules) != (None, None)


def _given(value: float | None, usual: float) -> float:
    return usual if value is None else value


def refusal(
    demand: Demand, taken: Sequence[Demand], capacity: Capacity, rules: Rules
) -> Refusal | None:
    """Say why one more machine is not taken; nothing if it is.

    Args:
        demand: What it takes.
        taken: What the others take, or have reserved.
        capacity: What there is.
        rules: The limits that hold for it.

    Example:
        >>> full = refusal(Demand(2**30, 1), [Demand(3 * 2**30, 1)], Capacity(4 * 2**30, 4), Rules())
        >>> full.text
        'memory is short: asked 1 GiB, free 512 MiB, reserved 3 GiB by 1 machine, factor 1'
    """
    if rules.maintenance:
        text = "the host is in maintenance and takes no new machines"
        return Refusal("SF-ADM-004", text, "say maintenance false on it, or choose another host")
    if rules.max_domains and len(taken) >= rules.max_domains:
        text = f"it has {_machines(len(taken))} already, and maxDomains is {rules.max_domains}"
        return Refusal("SF-ADM-003", text, "raise maxDomains, or end one of them")
    memory, cpus = room(capacity, rules)
    used = sum(each.memory_bytes for each in taken)
    if memory is not None and used + demand.memory_bytes > memory:
        asked, free = spell_size(demand.memory_bytes), spell_size(max(0, round(memory) - used))
        factor = _given(rules.memory_overcommit, MEMORY_FACTOR)
        text = (
            f"memory is short: asked {asked}, free {free}, "
            f"reserved {spell_size(used)} by {_machines(len(taken))}, factor {factor:g}"
        )
        return Refusal("SF-ADM-001", text, "end machines, or raise memoryOvercommit above it")
    busy = sum(each.vcpus for each in taken)
    if cpus is not None and busy + demand.vcpus > cpus:
        text = (
            f"CPUs are short: asked {demand.vcpus}, free {max(0.0, cpus - busy):g}, "
            f"reserved {busy} by {_machines(len(taken))}, factor "
            f"{_given(rules.cpu_overcommit, CPU_FACTOR):g}"
        )
        return Refusal("SF-ADM-002", text, "end machines, or raise cpuOvercommit above it")
    return None


def _machines(count: int) -> str:
    return "1 machine" if count == 1 else f"{count} machines"
