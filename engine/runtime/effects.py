"""Effects: the external things components make, as data that still works after a crash.

An author says what a thing *is* once (`look`, `make`, `undo`) and gets rollback, termination,
recovery and the reaper. Whatever `look` needs is in the effect before it is made.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, Self, TypeVar

import msgspec
from msgspec import Struct

from engine.core.faults import EngineError, Refused
from engine.runtime.commands import Output, run_command
from engine.wire.codec import decode

if TYPE_CHECKING:
    from engine.runtime.services import Services
    from engine.runtime.workers import Workers

T = TypeVar("T")


class Presence(Enum):
    """What a look found."""

    ABSENT = "absent"
    OURS = "ours"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"


class Owner(Struct, frozen=True):
    """Whose a thing is: recorded with the thing itself wherever it can carry a record.

    Attributes:
        community: The user's community; things of another one are foreign.
        application: Name of the application.
        path: Complete name of the component.
        incarnation: Number of that creation of the component; greater means later.
    """

    community: str
    application: str
    path: str
    incarnation: int

    def same_place(self, other: Owner) -> bool:
        """Say whether both are the same component, of any incarnation."""
        return (self.community, self.application, self.path) == (
            other.community, other.application, other.path,
        )  # fmt: skip


class Executor(Protocol):
    """Runs commands for effects: ourselves, a shell component, or one that only records."""

    async def run(self, argv: Sequence[str], *, input_: bytes, timeout_s: float) -> Output:
        """Run one command and return its output."""
        ...


class OwnExecutor:
    """Runs commands as children of this process; they die with it."""

    async def run(self, argv: Sequence[str], *, input_: bytes, timeout_s: float) -> Output:
        """Run one command and return its output."""
        return await run_command(argv, input_=input_, timeout_s=timeout_s)


class Site:
    """All an effect may use, also after a crash, when its component is gone."""

    def __init__(
        self,
        owner: Owner,
        *,
        services: Services,
        workers: Workers,
        executor: Executor,
        report: Callable[[float, str], None] | None = None,
    ) -> None:
        """Take whose effect it is and the means it may use."""
        self.owner = owner
        self._services = services
        self._workers = workers
        self._executor = executor
        self._report = report
        self.pending: set[asyncio.Future[object]] = set()

    async def run(
        self, argv: Sequence[str], *, input_: bytes = b"", timeout_s: float = 600.0
    ) -> Output:
        """Run a command; each word of `argv` reaches the program as it is.

        Raises:
            Refused: The program failed; the message has its last lines.
        """
        output = await self._executor.run(argv, input_=input_, timeout_s=timeout_s)
        if output.status != 0:
            tail = output.stderr.decode(errors="replace").strip()[-400:]
            status = output.status
            how = f"failed with status {status}" if status > 0 else f"was ended by signal {-status}"
            raise Refused(f"{argv[0]} {how}: {tail or 'nothing is said'}", code="SF-RUN-001")
        return output

    async def blocking(self, function: Callable[..., T], *data: object) -> T:
        """Run a function in a worker thread.

        The thread cannot be stopped: when the caller is cancelled it goes on, stays in `pending`,
        and an undo waits for it.
        """
        return await self._workers.run(function, *data, pending=self.pending)

    def service(self, factory: Callable[[], T]) -> T:
        """Return this process's one instance of a service, such as a pool of connections."""
        return self._services.get(factory)

    def given(self, type_: type[T]) -> T:
        """Return a part of this process that it offers to effects, such as its calls."""
        return self._services.given(type_)

    def watch(self, future: asyncio.Future[object]) -> None:
        """Make undo wait for outside work that cannot be cancelled."""
        self.pending.add(future)
        future.add_done_callback(self.pending.discard)

    def progress(self, fraction: float, text: str) -> None:
        """Tell how far the work has come, from 0 to 1."""
        if self._report is not None:
            self._report(fraction, text)


class Effect(Struct, frozen=True):
    """Base of all effects: frozen data with three idempotent steps.

    `survival` says whether the thing outlives our process: a file or domain does (`host`); a shell, a
    lock held by an open file or a subscription does not (`process`).
    """

    survival: ClassVar[Literal["host", "process"]] = "host"
    finishes: ClassVar[bool] = False
    """Made at a component's end from what it made before: finished after a crash, not undone."""

    @property
    def keep_others(self) -> str:
        """Say what becomes of the component's other effects once this one, which finishes, is made."""
        return "never"

    def label(self) -> str:
        """Name the thing for people."""
        return type(self).__name__

    async def look(self, at: Site) -> Presence:
        """Find out whether the thing is there and whose it is."""
        raise NotImplementedError

    async def make(self, at: Site) -> Self:
        """Make it; return the effect with what became known. Never overwrite a FOREIGN thing."""
        raise NotImplementedError

    async def claim(self, at: Site) -> Self:
        """Take over, as it is, what an earlier incarnation left on purpose; by itself, made anew."""
        return await self.make(at)

    async def undo(self, at: Site) -> None:
        """Remove it if it is OURS and of this incarnation; success if it is not there."""
        raise NotImplementedError


class NameTaken(EngineError):
    """A thing of that name exists and is not ours."""

    kind = Refused.kind


def encode_effect(effect: Effect) -> tuple[str, bytes]:
    """Return the class path and data of an effect, as the ledger keeps them."""
    cls = type(effect)
    return f"{cls.__module__}:{cls.__qualname__}", msgspec.msgpack.encode(effect)


def decode_effect(data: bytes, cls: type[Effect]) -> Effect:
    """Read an effect of a class that was found in an allowed package."""
    return decode(data, cls)
