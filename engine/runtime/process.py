"""One process of the engine: its components, applications and everything that serves them.

All state here belongs to the loop; nothing is touched from another thread.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import logging
import secrets
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from engine.core.events import Ident
from engine.core.faults import (
    NameInUse,
    NotFound,
    fault_of,
)
from engine.core.lifecycle import State
from engine.core.records import DEPLOYMENT_FAILURE, LIVENESS_FAILURE, Record
from engine.runtime.calls import Calls
from engine.runtime.changing import Changer
from engine.runtime.detaching import Detaching
from engine.runtime.dispatch import Dispatch
from engine.runtime.ending import Ending
from engine.runtime.eventlog import EventLog
from engine.runtime.finishing import Finishing
from engine.runtime.flows import child_ended, grown, holding
from engine.runtime.growth import Growth
from engine.runtime.keeper import Keeper
from engine.runtime.leaving import let_go
from engine.runtime.ledger import (
    Ledger,
    drop_change,
    drop_changes_below,
    drop_fate,
    drop_segment,
    put_birth,
    put_change,
    put_fate,
    set_meta,
    set_segment_state,
)
from engine.runtime.live import Live, RemotePart, Segment
from engine.runtime.liveness import Liveness
from engine.runtime.logbook import Logbook
from engine.runtime.obituaries import Obituaries
from engine.runtime.operations import Operations
from engine.runtime.orphans import Orphanage
from engine.runtime.parts import Parts
from engine.runtime.peers import Link, Peers
from engine.runtime.phases import Phases
from engine.runtime.planning import Planner
from engine.runtime.readiness import Readiness
from engine.runtime.reading import Reader
from engine.runtime.reaper import Reaper
from engine.runtime.recovery import Recovery
from engine.runtime.relays import Relays
from engine.runtime.resolver import Resolver
from engine.runtime.services import Services
from engine.runtime.subprocesses import ROOT, Spawner, Subprocesses
from engine.runtime.tally import Tally
from engine.runtime.termination import Termination
from engine.runtime.types import Types
from engine.runtime.updating import Updating
from engine.runtime.workers import Workers
from engine.security.identity import Expiry
from engine.settings import Settings
from engine.wire.codec import encode, encode_value
from engine.wire.messages import (
    Notice,
    Readied,
)
from sfdl.values import Value

HOUSEKEEPING_S = 30.0
ENDED_KEPT_S = 600.0


class Process:
    """Everything one process holds; `begin` and `stop` bracket its life."""

    log = logging.getLogger("sf.process")
    state = "starting"
    leaving = letting_go = False
    """It goes down: it takes no messages; and then begins no ends any more."""
    certificates: Callable[[], Sequence[Expiry]] = tuple
    """Until when the certificates it uses are good; set by whoever gives it some."""

    def __init__(
        self,
        settings: Settings,
        *,
        address: str,
        ledger: Ledger,
        workers: Workers,
        connect: Callable[[str, str], Link],
        spawner: Spawner | None = None,
    ) -> None:
        """Put the parts together; nothing runs yet."""
        self.settings = settings
        self.address = address
        self.ledger = ledger
        self.workers = workers
        self.version = importlib.metadata.version("smartdomains")
        self.security: dict[str, str] = {"security": "none"}
        self.tally = Tally()
        self.node_name = settings.node or socket.gethostname()
        self.community = f"local-{settings.community or _user()}"
        self.daemon_id = self._identity()
        self.began_s = time.monotonic()
        self.work_folder = Path(settings.folder) / "work"
        self.services = Services()
        self.types = Types(settings.packages)
        self.events = EventLog(self.daemon_id, secrets.token_hex(4), keep=settings.most_events)
        self.logbook = Logbook(self)
        self.lives: dict[str, Live] = {}
        self.names: dict[str, Live] = {}
        self.apps: dict[str, Segment] = {}
        self.segments: dict[str, Segment] = {}
        self.obituaries = Obituaries(ledger)
        self._incarnation = max(ledger.last_incarnation(), int(time.time() * 1000))
        self.resolver = Resolver(self)
        self.calls = Calls(self)
        self.reaper = Reaper(self)
        self.finishing = Finishing(self)
        self.keeper = Keeper(self)
        self.peers = Peers(self, connect, settings.peers)
        for service in (self.peers, self.calls):
            self.services.put(type(service), service)
        self.relays = Relays(self)
        self.subprocesses = Subprocesses(self, spawner)
        self.parts = Parts(self)
        self.phases = Phases(self, self.parts)
        self.ending = Ending(self)
        self.liveness = Liveness(self)
        self.readiness = Readiness(self)
        self.changer = Changer(self)
        self.detaching = Detaching(self)
        self.updating = Updating(self)
        self.growth = Growth(self)
        self.termination = Termination(self)
        self.orphanage = Orphanage(self)
        self.operations = Operations(self, Dispatch(self).carry_out)
        self.events.traced = self.operations.traced
        self.reader = Reader(self)
        self.planner = Planner(self)
        self.recovered, self.stopping, self.stopped = (asyncio.Event() for _ in range(3))
        self._tasks: list[asyncio.Task[None]] = []
        self._works: set[asyncio.Task[None]] = set()

    def _identity(self) -> str:
        known = self.ledger.meta("daemon")
        return known if known is not None else secrets.token_hex(8)

    # -- the life of the process

    @property
    def root_address(self) -> str:
        """Return the address of this host's root process."""
        return self.settings.root or self.address

    async def begin(self) -> None:
        """Recover what the ledger holds, then serve."""
        await self.ledger.durable(set_meta("daemon", self.daemon_id))
        self.obituaries.load()
        loop = asyncio.get_running_loop()
        await Recovery(self).run()
        self.operations.settle()
        for segment in self.segments.values():
            self.growth.lease(segment)
        self._tasks = [
            loop.create_task(self.reaper.run(), name="reaper"),
            loop.create_task(self.liveness.run(), name="liveness"),
            loop.create_task(self._housekeeping(), name="housekeeping"),
        ]
        if self.settings.process != ROOT:
            self._tasks.append(loop.create_task(self._end_when_idle(), name="idle"))
        self.state = "draining" if self.settings.maintenance else "running"
        self.recovered.set()
        self.spawn(self.subprocesses.take_up())

    async def _end_when_idle(self) -> None:
        """End a sub-process that has held nothing for a number of liveness rounds."""
        rounds = self.settings.subprocess_gc_rounds
        idle = 0
        while rounds > 0 and idle < rounds:
            await asyncio.sleep(self.settings.liveness_delay_s)
            busy = self.segments or self.reaper.lines() or self.operations.running
            idle = 0 if busy else idle + 1
        if rounds > 0:
            self.stopping.set()

    def spawn(self, work: Coroutine[object, object, None]) -> None:
        """Run work of the process itself in the background; a failure is an event."""
        task = asyncio.get_running_loop().create_task(work)
        self._works.add(task)
        task.add_done_callback(self._worked)

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._works.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.log.error("background work failed", exc_info=error)
            self.events.note(None, "error", f"background work failed: {fault_of(error).message}")

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(min(HOUSEKEEPING_S, self.settings.remember_s))
            self.operations.forget_old()
            self.obituaries.forget_old(min(ENDED_KEPT_S, self.settings.remember_s))
            for name in self.logbook.applications:
                if self.ended_application(name) is None and not self._holds(name):
                    self.logbook.forget(name)

    def _holds(self, application: str) -> bool:
        return any(segment.application == application for segment in self.segments.values())

    async def stop(self) -> None:
        """Let go of everything without ending components: the ledger brings them back."""
        self.state, self.leaving = "stopping", True
        await let_go(self, [*self._tasks, *self._works])
        self.stopped.set()

    @staticmethod
    def wall_s() -> float:
        """Return wall-clock seconds since 1970, for records."""
        return time.time()

    @staticmethod
    def new_id() -> str:
        """Return a random id, never used before."""
        return secrets.token_hex(8)

    def next_incarnation(self) -> int:
        """Return a number greater than that of any creation of this process so far."""
        self._incarnation = max(self._incarnation + 1, int(time.time() * 1000))
        return self._incarnation

    async def born(self, segment: Segment, path: str) -> int:
        """Number a component that is created anew inside its segment."""
        number = self.next_incarnation()
        await self.ledger.durable(put_birth(segment.id, path, number))
        return number

    # -- what is here

    def register(self, live: Live) -> None:
        """Make a component findable."""
        name = live.value("sfProcessComponentName")
        if isinstance(name, str):
            holder = self.names.get(name)
            taken = name in self.apps and self.apps[name] is not live.segment
            if taken or (holder is not None and holder is not live):
                by = holder.path if holder is not None else f"the application {name}"
                raise NameInUse(
                    f"{name} is in use by {by}", code="SF-NAME-005", where=live.path,
                    hint="give it another sfProcessComponentName",
                )  # fmt: skip
            self.names[name] = live
        self.lives[live.id] = live

    def unregister(self, live: Live) -> None:
        """Make an ended component unfindable."""
        if self.lives.pop(live.id, None) is not None:
            self.tally.ended += 1
        name = live.value("sfProcessComponentName")
        if isinstance(name, str) and self.names.get(name) is live:
            del self.names[name]

    def take_up(self, segment: Segment) -> None:
        """Hold a segment rebuilt from the ledger."""
        self.segments[segment.id] = segment
        if segment.parent is None:
            self.apps[segment.application] = segment

    def live(self, ident: Ident) -> Live:
        """Return a component by its identity.

        Raises:
            NotFound: It is none of ours, or of another life of it.
        """
        found = self.lives.get(ident.component) if ident.daemon == self.daemon_id else None
        if found is None:
            raise NotFound("no such component here; it may have ended", code="SF-NAME-003")
        return found

    def application(self, name: str) -> Live:
        """Return the root of an application, or a component registered under that name.

        Raises:
            NotFound: There is none; if it ended a while ago the message has its record.
        """
        segment = self.apps.get(name)
        if segment is not None and hasattr(segment, "root"):
            return segment.root
        if name in self.names:
            return self.names[name]
        ended = self.ended_application(name)
        if ended is not None:
            raise NotFound(
                f"{name} has ended: {ended.sentence()}", code="SF-NAME-004", where=name,
                causes=(ended.cause,) if ended.cause is not None else (),
            )  # fmt: skip
        here = ", ".join(self.apps) or "none"
        raise NotFound(f"there is no application {name!r}; here: {here}", code="SF-NAME-003")

    def ended_part(self, segment: str) -> Record | None:
        """Return the record of a segment that ended here lately."""
        return self.obituaries.part(segment)

    # -- what components do

    def started(self, live: Live) -> None:
        """Take in that a component is STARTED; its flow begins once the whole tree is."""
        self.readiness.started(live)
        if "check" in type(live.prim).hooks and live.segment.state == "started":
            self.liveness.attend(live.segment)

    grown = staticmethod(grown)

    def growth_of(self, live: Live) -> Callable[[Callable[[], None]], None] | None:
        """Return what keeps work until the tree a component is in has grown; nothing if it has."""
        at = live
        while at.parent is not None:
            above, name = at.parent, at.name
            if above.flow is not None and above.flow.nursery.growing(name):
                nursery = above.flow.nursery
                return lambda work: nursery.hold(name, work)
            at = above
        return live.segment.held.append if live.segment.growth is not None else None

    def done(self, live: Live, record: Record) -> None:
        """End a component that has done its job, or failed: the former once its tree has grown."""
        hold = self.growth_of(live) if record.is_normal else None
        if hold is not None:
            hold(lambda: self.finish(live, record))
        else:
            self.finish(live, record)

    def keep_attribute(self, live: Live, name: str, value: Value) -> None:
        """Set an attribute that is to be known after a restart; no event says so."""
        live.changes[name] = value
        data = encode_value(value, secret=live.is_secret(name))
        self.ledger.lazy(put_change(live.segment.id, live.place, name, data))

    def finish(self, live: Live, record: Record) -> None:
        """End a component by itself and let its parent decide."""
        if live.state.ended or self.letting_go or _rolled_back(live):
            return
        if live.state is not State.STARTED or live.segment.growth is not None:
            record = record.begun_at(live.path, self.wall_s())
            if self.fail_growth(live, record):
                return  # the rollback ends it and undoes what it made, whatever `keep` says
        if live is live.segment.root:
            self.termination.end_segment(live.segment, record)
            return
        ending = self.ending.end(live, record)
        if live.flag("sfSyncTerminate"):
            if live.parent is not None:  # its parts are forgotten before it is told
                self.write_fate(live.parent, live.name, "down", live.record)
            ending.add_done_callback(lambda _: self.tell_parent(live))
        else:
            self.tell_parent(live)

    def tell_parent(self, live: Live) -> None:
        """Tell the parent of a component that has ended here; it decides."""
        if live.parent is not None and live.record is not None:
            child_ended(live.parent, live.name, live.record.passed(live.parent.path))

    def fail_growth(self, live: Live, record: Record) -> bool:
        """Something in a tree that is still growing has ended: say whether a growth now fails."""
        at: Live | None = live
        while at is not None and at.parent is not None:
            above = at.parent
            if above.flow is not None and above.flow.begun:
                if above.flow.nursery.fail(at.name, record):
                    return True
                break
            at = above
        return self.growth.abort(live.segment, record)

    # -- remote parts

    def part_ended(self, part: RemotePart, record: Record) -> None:
        """Take in that a remote part has ended or is presumed dead; told to the parent once."""
        if part.record is not None or part.state.ended:
            return
        asked = part.state in {State.CREATING, State.DEPLOYING, State.STARTING}
        if asked and record.type != LIVENESS_FAILURE:
            part.early = record  # the answer to the phase under way says it better
            return
        hold = holding(part)
        flow = part.parent.flow
        if hold is not None and (record.is_normal or (flow is not None and flow.begun)):
            hold(lambda: self.part_ended(part, record))
            return
        self.parts.gone(part, record)
        if record.type == LIVENESS_FAILURE:
            self.events.note(part.parent, "warning", f"{part.name}: {record.description}")
        child_ended(part.parent, part.name, record.passed(part.parent.path))

    def noticed(self, notice: Notice) -> bool:
        """Take a notice of a part's end; say whether it need not be told again."""
        parent = self.lives.get(notice.parent.component)
        if parent is None:
            return True
        for child in parent.children.values():
            if isinstance(child, RemotePart) and child.segment == notice.segment:
                self.part_ended(child, notice.record)
        return True

    def part_readied(self, readied: Readied) -> None:
        """Take in that a part elsewhere became ready, or stopped being so."""
        parent = self.lives.get(readied.parent.component)
        for child in parent.children.values() if parent is not None else ():
            if isinstance(child, RemotePart) and child.segment == readied.segment:
                self.readiness.part(child, ready=readied.ready)

    def orphaned(self, segment: Segment) -> None:
        """A segment's parent has not been heard of for the length of its lease."""
        text = "no sign of life from its parent's process within the lease"
        record = Record(LIVENESS_FAILURE, text, segment.path, self.wall_s())
        self.orphanage.take_in(segment, record)

    # -- the end of a segment

    def close_segment(self, segment: Segment, record: Record) -> None:
        """Forget a segment whose components are all TERMINATED; its name is free again."""
        self.segments.pop(segment.id, None)
        if self.apps.get(segment.application) is segment:
            del self.apps[segment.application]
        self.forget_segment(segment.id, segment.application, segment.parent is None, record)
        segment.finished.set()

    def forget_segment(self, id_: str, application: str, is_root: bool, record: Record) -> None:  # noqa: FBT001 - a fact about the segment
        """Drop a segment's rows and remember why it ended."""
        statements = [*drop_segment(id_), self.obituaries.of_part(id_, record)]
        if is_root:
            statements.append(self.obituaries.of_application(application, record))
        self.ledger.lazy(*statements)

    def never_here(self, id_: str, record: Record) -> None:
        """Remember that a segment was ended before it was ever made: it must not be made later."""
        self.ledger.lazy(self.obituaries.of_part(id_, record))

    def write_fate(self, live: Live, name: str, fate: str, record: Record | None) -> None:
        """Write what became of a child.

        Args:
            live: Its parent.
            name: Its name.
            fate: `down`; `growing` anew or `fresh`, for the first time; `failed` to grow;
                `dropped`; or nothing: it is as described.
            record: Why it is down, or failed.
        """
        path, segment = f"{live.place}:{name}", live.segment.id
        statements = [drop_fate(segment, path)]
        if fate in {"growing", "fresh", "dropped"}:
            statements.append(drop_changes_below(segment, path))
        if fate == "dropped" and name not in live.description.names():
            live.changes.pop(name, None)
            statements.append(drop_change(segment, live.place, name))
        elif fate:
            encoded = encode(record) if record is not None else None
            statements.append(put_fate(segment, path, fate, encoded))
        self.ledger.lazy(*statements)

    def ended_application(self, name: str) -> Record | None:
        """Return the record of an application that ended lately."""
        return self.obituaries.application(name)

    def mark_ending(self, segment: Segment, record: Record) -> None:
        """Write down that a segment is ending, before anything of it is undone."""
        segment.state = "ending"
        self.ledger.lazy(set_segment_state(segment.id, "ending", encode(record)))


def _rolled_back(live: Live) -> bool:
    """Say whether the tree a component is in is being rolled back: that ends it, and undoes all."""
    at = live.parent
    while at is not None:
        if at.record is not None and at.record.type == DEPLOYMENT_FAILURE:
            return True
        at = at.parent
    return False


def _user() -> str:
    import getpass  # noqa: PLC0415 - once per process

    return getpass.getuser()
