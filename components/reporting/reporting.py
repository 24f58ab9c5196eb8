"""What a component says of itself while it works: in attributes, for references, people and the tree."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar, TypeVar

from typing_extensions import override

from engine.core.faults import fault_of
from engine.prim import Prim
from engine.runtime.attributes import output
from engine.runtime.effects import Effect, Executor
from sfdl.values import Description, Vector

E = TypeVar("E", bound=Effect)

DOING = {
    "deploy": "checks and reserves what it needs", "start": "starts", "adopt": "is taken up again",
    "ending": "ends", "terminate": "ends",
}  # fmt: skip
"""What a component does while a hook runs that says nothing more exact."""
WAITS = "waits to be started"


def moment() -> str:
    """Return what time it is, to the second, with the distance from UTC."""
    return _moment(int(time.time()))


@lru_cache(maxsize=1)
def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).astimezone().isoformat()


def step_of(effect: Effect) -> str:
    """Return under which name the making of an effect is timed.

    Example:
        >>> class VolumeFile(Effect, frozen=True):
        ...     pass
        >>> step_of(VolumeFile())
        'volumeFile'
    """
    name = type(effect).__name__
    return name[0].lower() + name[1:]


class Reporting(Prim):
    """A component that says what it does, since when, how far it has come, and how long each step took.

    Attributes:
        at_rest: What it says once it has started and does nothing in particular.
    """

    at_rest: ClassVar[str] = "is there"

    status = output(str, doc="What it does now, in a short sentence.")
    percent = output(
        int, called="progress",
        doc="How far that has come, from 0 to 100; NULL where it cannot be told.",
    )  # fmt: skip
    since = output(str, doc="When it began with that, with the distance from UTC.")
    degraded = output(Vector, doc="What was asked for and cannot be had, and is done another way.")
    last_error = output(str, called="lastError", doc="What failed last.")
    timings = output(
        Description, doc="Seconds that the steps of its last run took, by name, as data."
    )

    _resting: str = ""
    _under_way: tuple[str, ...] = ()

    @override
    async def on_started(self) -> None:
        """Be at rest, also if the type has no hook of its own."""

    # -- saying

    @override
    def doing(self) -> str:
        said = self.live.value("status")
        return said if isinstance(said, str) and said != self.at_rest else ""

    def rest(self, text: str) -> None:
        """Say what it does from now on whenever no step is under way."""
        self._resting = text
        if not self._under_way:
            self._say(text)

    def _say(self, text: str, percent: int | None = None) -> None:
        if self.live.value("status") != text:
            self.live.keep(status=text, since=moment())
        self.live.keep(progress=percent)

    @override
    def progress(self, fraction: float, text: str) -> None:
        super().progress(fraction, text)
        self._say(text, round(min(1.0, max(0.0, fraction)) * 100))

    def degrade(self, name: str, text: str) -> None:
        """Say that something cannot be had, and what is done instead; told once."""
        known = self.live.value("degraded")
        said = known.items if isinstance(known, Vector) else ()
        if name not in said:
            self.degraded = Vector((*said, name))
            self.note(f"{name}: {text}", "warning")

    def failed(self, error: BaseException) -> None:
        """Keep why something failed; what was cancelled has not."""
        if not isinstance(error, asyncio.CancelledError):
            self.last_error = fault_of(error).message

    # -- steps

    def begin_run(self) -> None:
        """Forget how long the steps of the run before took."""
        self.live.changes.pop("timings", None)

    @contextlib.contextmanager
    def step(self, name: str, text: str) -> Iterator[None]:
        """Say what it does for as long as it does it; keep how long that took, and how it failed.

        Args:
            name: Its name in `timings`; the times of several of one name add up.
            text: For people.
        """
        clock = asyncio.get_running_loop()
        begun_s = clock.time()
        self._under_way = (*self._under_way, text)
        self._say(text)
        try:
            yield
        except BaseException as error:
            self.failed(error)
            raise
        finally:
            left = list(self._under_way)
            left.remove(text)
            self._under_way = tuple(left)
            self._took(name, clock.time() - begun_s)
            self._say(left[-1] if left else self._resting or text)

    def _took(self, name: str, seconds: float) -> None:
        known = self.live.value("timings")
        took = dict(known.attributes) if isinstance(known, Description) else {}
        so_far = took.get(name)
        took[name] = round(seconds + (so_far if isinstance(so_far, float) else 0.0), 3)
        self.live.keep(timings=Description(tuple(took.items()), data=True))

    @override
    async def make(
        self, effect: E, *, keep: str = "never", executor: Executor | None = None,
        resume: bool = False,
    ) -> E:  # fmt: skip
        with self.step(step_of(effect), f"makes {effect.label()}"):
            return await super().make(effect, keep=keep, executor=executor, resume=resume)

    @override
    def during(self, hook: str) -> AbstractContextManager[None]:
        return self._during(hook)

    @contextlib.contextmanager
    def _during(self, hook: str) -> Iterator[None]:
        if hook == "deploy":
            self.begin_run()
        with self.step(hook, DOING[hook]):
            yield
            if hook == "deploy":
                self.rest(WAITS)
            elif hook == "terminate":
                self.rest("has ended")
            elif self._resting in {"", WAITS}:
                self.rest(self.at_rest)
