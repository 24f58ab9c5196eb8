"""Making and undoing effects: intent first, undo whatever happened in between.

The keeper writes the ledger around every effect and hands to the reaper what could not be undone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from msgspec.structs import replace

from engine.core.events import EffectEvent
from engine.core.faults import Busy, EngineError, fault_of
from engine.core.records import DEPLOYMENT_FAILURE, Record
from engine.runtime.effects import (
    Effect,
    Executor,
    NameTaken,
    Owner,
    OwnExecutor,
    Presence,
    Site,
    decode_effect,
    encode_effect,
)
from engine.runtime.ledger import EffectRow, drop_effect, put_effect
from engine.runtime.live import Live, Made
from engine.runtime.reaper import KEPT

if TYPE_CHECKING:
    from engine.runtime.process import Process

E = TypeVar("E", bound=Effect)


class Saboteur(Protocol):
    """Planned failures around effects, for tests; see `engine.testing.sabotage`."""

    async def strike(self, when: str, effect: Effect, site: Site) -> None:
        """Do nothing, raise, hang or end the process."""
        ...


GRACE_S = 2.0
UNMAKE_S = 30.0
"""Seconds a cancelled undo gets on top of its deadline."""


class Keeper:
    """Makes and undoes the effects of this process's components."""

    def __init__(self, process: Process) -> None:
        """Serve one process."""
        self._process = process
        self._next_id = process.ledger.next_effect_id()
        self.saboteur: Saboteur | None = None

    # -- making

    async def make(
        self, live: Live, effect: E, *, keep: str, executor: Executor | None, resume: bool = False
    ) -> E:
        """Make one effect of a component; see `Prim.make`."""
        self._refuse_second(live)
        await self._clear_the_way(live)
        made = self.record(live, effect, keep, executor)
        live.effects.append(
            made
        )  # before its row: a cancelled make leaves no row that nobody drops
        await self._process.ledger.durable(put_effect(made.row))
        self._tell(live, made, "making")
        presence = await effect.look(made.site)
        if presence is Presence.FOREIGN:
            live.effects.remove(made)
            self._process.ledger.lazy(drop_effect(made.row.id))
            raise NameTaken(
                f"{effect.label()} exists already and is not ours",
                code="SF-NAME-001",
                where=live.path,
                hint="choose another name, or remove the thing by hand; it was not touched",
            )
        if presence is Presence.UNKNOWN:
            raise Busy(f"cannot tell whether {effect.label()} is there already", where=live.path)
        await self._strike("making", made)
        again = resume and presence is Presence.OURS
        done = await (effect.claim(made.site) if again else effect.make(made.site))
        await self._strike("made", made)
        made.effect = done
        made.row = replace(made.row, state="made", data=self._encoded(live, done)[1])
        self._process.ledger.lazy(put_effect(made.row))
        self._tell(live, made, "made")
        return done

    def record(
        self, live: Live, effect: Effect, keep: str = "never", executor: Executor | None = None
    ) -> Made:
        """Describe the intent to make an effect; the caller writes the row durably."""
        class_, data = self._encoded(live, effect)
        segment = live.segment
        row = EffectRow(
            id=self._next_id,
            segment=segment.id,
            application=segment.origin.application,
            path=live.place,
            incarnation=live.incarnation,
            class_=class_,
            data=data,
            executor="own" if executor is None else "shell",
            keep=keep,
            survival=effect.survival,
            state="intent",
            error="",
        )
        self._next_id += 1
        site = self.site(row, executor, live.prim.progress)
        return Made(effect, row, site)

    def site(
        self, row: EffectRow, executor: Executor | None = None,
        report: Callable[[float, str], None] | None = None,
    ) -> Site:  # fmt: skip
        """Return what an effect of this row may use; a lost shell is replaced by ourselves."""
        owner = Owner(self._process.community, row.application, row.path, row.incarnation)
        return Site(
            owner,
            services=self._process.services,
            workers=self._process.workers,
            executor=executor or OwnExecutor(),
            report=report,
        )

    def _refuse_second(self, live: Live) -> None:
        """Refuse to make at a place whose things went away with a tree that was cut off."""
        for segment in self._process.segments.values():
            origin = segment.origin
            if segment is live.segment or origin.segment == segment.id:
                continue
            for other in segment.root.walk():
                if (
                    other.effects
                    and other.place == live.place
                    and (origin.application == live.segment.origin.application)
                ):
                    raise Busy(
                        f"what belongs here went away with {other.path}, which was detached",
                        code="SF-BUSY-002", where=live.path, hint=f"end {other.path} first",
                    )  # fmt: skip

    async def _clear_the_way(self, live: Live) -> None:
        application = live.segment.origin.application
        for item in self._process.reaper.pending(application, live.place):
            await self._process.reaper.retry(item)
        left = self._process.reaper.pending(application, live.place)
        if left:
            names = ", ".join(item.made.effect.label() for item in left)
            raise Busy(
                f"an earlier {names} could not be undone yet",
                code="SF-BUSY-001",
                where=live.path,
                hint="sfstatus --reaper shows what is pending and why",
            )

    # -- undoing

    async def undo_all(self, live: Live, record: Record) -> None:
        """Undo what a component made, last made first, as its record and `keep` say."""
        while live.effects:
            made = live.effects.pop()
            after_s = seconds_of(made.row.keep)
            if after_s is not None and record.type != DEPLOYMENT_FAILURE:
                self.undo_later(made, after_s)
                self._tell(live, made, f"kept for {after_s:g} s")
                continue
            if (
                keeps(made.row.keep, record) and made.row.state != "intent"
            ):  # half of it never stays
                self._process.ledger.lazy(drop_effect(made.row.id))
                self._tell(live, made, "kept")
                continue
            text = await self.undo(made, live.seconds("sfTerminateTimeout", 30.0))
            self._tell(live, made, "undone" if text is None else f"left with the reaper: {text}")
            if text is not None:
                live.segment.leftovers.append(f"{live.path}: {made.effect.label()}: {text}")

    def undo_later(self, made: Made, after_s: float) -> None:
        """Leave an effect in place for some seconds; the reaper undoes it then."""
        due_ms = int((time.time() + after_s) * 1000)
        made.row = replace(made.row, state="undoing", due_ms=due_ms, error=KEPT)
        self._process.ledger.lazy(put_effect(made.row))
        self._process.reaper.add(made, after_s)

    async def amend(self, live: Live, effect: Effect, keep: str) -> None:
        """Change which ends leave an effect in place; durable when it returns."""
        for made in live.effects:
            if made.effect == effect:
                made.row = replace(made.row, keep=keep)
                await self._process.ledger.durable(put_effect(made.row))

    async def renew(self, live: Live, before: E, after: E) -> None:
        """Make an effect anew as something else in the same place; its row says so first."""
        for made in live.effects:
            if made.effect == before:
                made.effect = after
                made.row = replace(made.row, data=self._encoded(live, after)[1])
                await self._process.ledger.durable(put_effect(made.row))
                await after.make(made.site)

    async def remake(self, live: Live, before: E, after: E) -> E:
        """Make an effect anew in the same place, and write that down once it is done.

        What is half done by then is done again by whoever finds it written down as it was before.
        """
        for made in live.effects:
            if made.effect == before:
                await self._strike("making", made)
                after = await after.make(made.site)
                await self._strike("made", made)
        await self.restate(live, before, after)
        return after

    async def restate(self, live: Live, before: E, after: E) -> None:
        """Write down that an effect is described otherwise now; nothing is made by it."""
        for made in live.effects:
            if made.effect == before:
                made.effect = after
                made.row = replace(made.row, data=self._encoded(live, after)[1])
                await self._process.ledger.durable(put_effect(made.row))

    async def unmake(self, live: Live, effect: Effect) -> None:
        """Undo one effect of a component that goes on; see `Prim.unmake`."""
        for made in [each for each in live.effects if each.effect == effect]:
            live.effects.remove(made)
            await self.undo(made, UNMAKE_S)

    async def forget(self, live: Live, effect: Effect) -> None:
        """Strike an effect off the ledger without undoing it; durable when it returns."""
        for made in [each for each in live.effects if each.effect == effect]:
            live.effects.remove(made)
            await self._process.ledger.durable(drop_effect(made.row.id))

    async def undo(self, made: Made, timeout_s: float) -> str | None:
        """Undo one effect; on failure it goes to the reaper.

        Returns:
            Nothing when the thing is gone, else why it may still be there.
        """
        text = await self.attempt(made, timeout_s)
        if text is None:
            self._process.ledger.lazy(drop_effect(made.row.id))
            return None
        made.row = replace(made.row, state="doubt" if made.site.pending else "undoing", error=text)
        self._process.ledger.lazy(put_effect(made.row))
        self._process.reaper.add(made)
        return text

    async def attempt(self, made: Made, timeout_s: float) -> str | None:
        """Try to undo once: wait for its threads, then undo. Return why it failed, or nothing."""
        if made.site.pending:
            await asyncio.wait(set(made.site.pending), timeout=timeout_s)
            if made.site.pending:
                return "in doubt: its thread has not returned"
        try:
            async with asyncio.timeout(timeout_s + GRACE_S):
                await self._strike("undoing", made)
                await made.effect.undo(made.site)
        except (EngineError, OSError, TimeoutError, ValueError) as error:
            return fault_of(error).message
        except Exception as error:
            self._process.log.exception("undo of %s failed", made.effect.label())
            return fault_of(error).message
        return None

    def _encoded(self, live: Live, effect: Effect) -> tuple[str, bytes]:
        """Encode an effect; that of a component with secrets may hold them, so it is sealed."""
        class_, data = encode_effect(effect)
        return class_, self._process.ledger.vault.seal(data) if live.has_secrets else data

    async def _strike(self, when: str, made: Made) -> None:
        if self.saboteur is not None:
            await self.saboteur.strike(when, made.effect, made.site)

    # -- reading back

    def restore(self, row: EffectRow) -> Made:
        """Rebuild an effect from its row.

        Raises:
            BadDescription: Its class is not in an allowed package any more.
        """
        cls = self._process.types.effect(row.class_)
        return Made(decode_effect(row.data, cls), row, self.site(row))

    def adopt(self, live: Live, made: Sequence[Made]) -> None:
        """Give a rebuilt component the effects found in place."""
        live.effects.extend(made)

    def _tell(self, live: Live, made: Made, step: str) -> None:
        self._process.events.publish(live, EffectEvent(made.effect.label(), step))


def keeps(keep: str, record: Record) -> bool:
    """Decide whether an end of this type leaves an effect in place.

    Args:
        keep: `never`, `always` (apart from a rollback), or the types of records that leave it.
        record: Why it ends.

    Example:
        >>> keeps("normal", Record.normal()), keeps("always", Record(DEPLOYMENT_FAILURE))
        (True, False)
        >>> keeps("shutdown deploymentFailure", Record(DEPLOYMENT_FAILURE))
        True
    """
    words = keep.split()
    return record.type in words or ("always" in words and record.type != DEPLOYMENT_FAILURE)


def seconds_of(keep: str) -> float | None:
    """Return for how many seconds an effect stays after the end, if `keep` says a number.

    Example:
        >>> seconds_of("3600"), seconds_of("normal")
        (3600.0, None)
    """
    return float(keep) if keep.replace(".", "", 1).isdigit() else None
