"""One loop for many daemons: every callback belongs to a daemon, and waits or dies with it."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar, cast

from typing_extensions import override

from engine.testing.kit import VirtualLoop

T = TypeVar("T")

LIFE: ContextVar[Life | None] = ContextVar("LIFE", default=None)
"""Whose code is running; nothing for the simulation's own."""

NEUTRAL = Context()
"""The context of what happens outside all daemons: the network, the driver."""

Call = tuple[Callable[..., object], tuple[object, ...], Context, list[asyncio.Handle]]


class Life:
    """One life of a daemon: from its begin to its crash or end.

    Attributes:
        machine: Name of the daemon; the next life has the same.
        dead: Nothing of it runs any more.
        leaving: It is on its way down.
    """

    def __init__(self, loop: SimLoop, machine: str) -> None:
        """Begin a life whose tasks run on the loop."""
        self.machine = machine
        self.dead = False
        self.leaving = False
        self._loop = loop
        self._frozen = False
        self._parked: list[Call] = []
        self.tasks: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._context = NEUTRAL.copy()
        self._context.run(LIFE.set, self)

    @property
    def frozen(self) -> bool:
        """Say whether it gets no processor time."""
        return self._frozen

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Start work of this daemon."""
        return self._loop.create_task(work, context=self._context.copy())

    def enter(self, call: Call) -> None:
        """Run one callback now, later when thawed, or never."""
        if self.dead:
            return
        if self._frozen:
            self._parked.append(call)
            return
        function, arguments, _, handles = call
        if not (handles and handles[0].cancelled()):
            function(*arguments)

    def freeze(self) -> None:
        """Give it no processor time."""
        self._frozen = True

    def thaw(self) -> None:
        """Run what has come up since it was frozen, in order."""
        self._frozen = False
        parked, self._parked = self._parked, []
        for call in parked:
            self._loop.again(self, call)

    def kill(self) -> None:
        """End it as a crash does: its code never runs again, its memory is let go of."""
        self.dead = True
        buried: list[asyncio.Task[Any]] = []
        while tasks := [task for task in self.tasks if task not in buried]:
            buried.extend(tasks)
            for task in tasks:
                self._context.copy().run(_bury, task)
        self._parked.clear()


def _bury(task: asyncio.Task[Any]) -> None:
    """Let a task's coroutine unwind although nothing it does has an effect any more."""
    task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - it is meant to be left
    coroutine = cast("Generator[Any, Any, Any]", task.get_coro())
    for _ in range(20):  # one that awaits while it unwinds has to be told again
        try:
            coroutine.close()
        except RuntimeError:
            continue
        except Exception:  # noqa: BLE001, S110 - what a dead daemon thinks of it is nobody's concern
            pass
        return


class SimTask(asyncio.Task[Any]):
    """A task whose place in a set does not depend on memory addresses.

    Attributes:
        life: The life of the daemon it works for, if for any.
    """

    life: Life | None = None

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *, serial: int, **kwargs: Any) -> None:  # noqa: ANN401 - passed on
        """Take a number never used before."""
        self._serial = serial
        super().__init__(coroutine, **kwargs)

    @override
    def __hash__(self) -> int:
        return self._serial


class SimFuture(asyncio.Future[Any]):
    """A future whose place in a set does not depend on memory addresses."""

    def __init__(self, *, serial: int, loop: asyncio.AbstractEventLoop) -> None:
        """Take a number never used before."""
        self._serial = serial
        super().__init__(loop=loop)

    @override
    def __hash__(self) -> int:
        return self._serial


class SimLoop(VirtualLoop):
    """A virtual-time loop that knows whose callback each one is.

    Attributes:
        troubles: What reached the loop's exception handler.
    """

    alone = True

    def __init__(self) -> None:
        """Start at second 1000 without daemons."""
        self._serials = itertools.count(1)
        self.troubles: list[str] = []
        super().__init__()
        self.set_exception_handler(self._take_trouble)
        self.set_task_factory(self._make_task)  # type: ignore[arg-type] # it takes the context as well

    def _make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: Context | None = None,
    ) -> SimTask:
        task = SimTask(coroutine, serial=next(self._serials), loop=loop, context=context)
        life = (copy_context() if context is None else context).get(LIFE)
        if life is not None:
            task.life = life
            life.tasks.add(task)
        return task

    @override
    def create_future(self) -> SimFuture:
        return SimFuture(serial=next(self._serials), loop=self)

    def _take_trouble(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        future = context.get("future")
        if isinstance(future, SimTask) and future.life is not None and future.life.dead:
            return  # what a dead daemon did not get round to is nobody's concern
        culprit = context.get("exception") or context.get("task") or context.get("handle")
        self.troubles.append(f"{context.get('message')}: {culprit!r}")

    @override
    def call_soon(  # type: ignore[override] # arguments are passed on as they come
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        context = copy_context() if context is None else context
        life = context.get(LIFE)
        if life is None:
            return super().call_soon(callback, *args, context=context)
        handles: list[asyncio.Handle] = []
        call = (callback, args, context, handles)
        handles.append(super().call_soon(life.enter, call, context=context))
        return handles[0]

    @override
    def call_at(  # type: ignore[override] # likewise
        self, when: float, callback: Callable[..., object], *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        context = copy_context() if context is None else context
        life = context.get(LIFE)
        if life is None:
            return super().call_at(when, callback, *args, context=context)
        handles: list[asyncio.Handle] = []
        handle = super().call_at(
            when, life.enter, (callback, args, context, handles), context=context
        )
        handles.append(handle)
        return handle

    def again(self, life: Life, call: Call) -> None:
        """Offer a parked callback to its daemon once more."""
        super().call_soon(life.enter, call, context=call[2])

    def outside(self, delay_s: float, function: Callable[..., object], *args: object) -> None:
        """Have something happen outside all daemons after a while."""
        self.call_at(self.time() + delay_s, function, *args, context=NEUTRAL.copy())
