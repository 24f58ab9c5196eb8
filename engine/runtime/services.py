"""Services of a process: things components share, such as a pool of hypervisor connections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar, cast, runtime_checkable

from msgspec import Struct, structs

from engine.runtime.workers import PoolUse

T = TypeVar("T")


@runtime_checkable
class Closing(Protocol):
    """A service that must be closed with the process."""

    async def close(self) -> None:
        """Release what the service holds."""
        ...


@runtime_checkable
class Diagnosing(Protocol):
    """A service that can look at the outside world, without believing any ledger."""

    async def diagnose(self) -> Sequence[Struct]:
        """Return what is really there, one row of plain fields each."""
        ...


@runtime_checkable
class Pooled(Protocol):
    """A service with threads of its own."""

    def threads(self) -> Mapping[str, int]:
        """Say how they are used: the numbers of a `PoolUse` by name."""
        ...


class Services:
    """One instance of each service, made when it is first asked for."""

    def __init__(self) -> None:
        """Start empty."""
        self._made: dict[Callable[[], object], object] = {}

    def get(self, factory: Callable[[], T]) -> T:
        """Return the instance made by this factory."""
        if factory not in self._made:
            self._made[factory] = factory()
        return cast("T", self._made[factory])

    def given(self, type_: type[T]) -> T:
        """Return what the process itself has put here under its type, such as its calls."""
        return cast("T", self._made[type_])

    def put(self, factory: Callable[[], T], instance: T) -> None:
        """Use this instance from now on; tests put faulty twins here."""
        self._made[factory] = instance

    async def diagnose(self) -> list[tuple[str, dict[str, str]]]:
        """Collect what all services find by looking."""
        return [
            (
                type(service).__name__,
                {key: str(value) for key, value in structs.asdict(row).items()},
            )
            for service in list(self._made.values())
            if isinstance(service, Diagnosing)
            for row in await service.diagnose()
        ]

    def usage(self) -> list[PoolUse]:
        """Return how the threads of all services are used."""
        return [
            PoolUse(type(each).__name__, **each.threads())
            for each in self._made.values()
            if isinstance(each, Pooled)
        ]

    async def close(self) -> None:
        """Close all, last made first."""
        while self._made:
            _, service = self._made.popitem()
            if isinstance(service, Closing):
                await service.close()
