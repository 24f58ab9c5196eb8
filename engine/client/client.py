"""A client of one daemon: start, end, look, ping, follow."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union

import msgspec

from engine.core.events import Event, Ident
from engine.core.faults import EngineError, Refused, TimedOut, Unreachable, raised
from engine.core.findings import Finding
from engine.core.records import Record
from engine.wire.codec import decode, encode, flatten, unflatten
from engine.wire.messages import (
    PROTOCOL,
    SIGNATURE,
    Answer,
    AttributeRow,
    Call,
    Cancel,
    Cancelled,
    Change,
    Changed,
    Channelled,
    Checkup,
    Create,
    Cut,
    Detach,
    Diagnosis,
    Drain,
    Drained,
    Dumped,
    Failed,
    Gone,
    Graft,
    Grown,
    Handle,
    Hello,
    Levelled,
    LogRow,
    OnChannel,
    Op,
    Page,
    PeerRow,
    PeersSeen,
    Ping,
    Plan,
    Pong,
    Progress,
    Pull,
    PullLog,
    ReadAnswer,
    ReadAttributes,
    ReadCheckup,
    ReadDiagnosis,
    ReadDump,
    Reading,
    ReadPeers,
    ReadPlan,
    ReadTree,
    ReadUpdate,
    ReadValue,
    Request,
    Resolved,
    Returned,
    Set,
    SetLevel,
    Stop,
    Terminate,
    TreeRow,
    Update,
    Updated,
    Welcome,
)
from sfdl.values import Description, Value

if TYPE_CHECKING:
    from engine.wire.channel import Security

T = TypeVar("T")
POLL_S = 0.25
LONG_POLL_S = 10.0
CHANNEL_S = 30.0
"""Seconds a channel may take to be opened, or to take what is sent, beyond any wait."""
CONNECT_S = 5.0
CHECKUP_S = 45.0


class DaemonUnreachable(Unreachable):
    """The daemon addressed cannot be reached at all."""


class Operation(Generic[T]):
    """A request under way; asking again under its id is always safe."""

    def __init__(self, client: Client, op: Op, id_: str, budget_s: float, type_: type[T]) -> None:
        """Take what is asked for; nothing is sent before `follow` or `result`."""
        self.id = id_
        self._client = client
        self._op = op
        self._type = type_
        self._until = time.monotonic() + budget_s
        self._answer: Answer | None = None

    def follow(self, report: Callable[[Progress], None]) -> None:
        """Wait for the end, telling every change on the way."""
        last: Progress | None = None
        while self._answer is None:
            answer = self._poll(POLL_S)
            if answer.progress is not None and answer.progress != last:
                last = answer.progress
                report(last)

    def result(self) -> T:
        """Wait for the end and return what came of it.

        Raises:
            DaemonUnreachable: Nobody answers at the address.
            TimedOut: It is not done in time; the outcome is unknown.
            EngineError: As it failed.
        """
        while self._answer is None:
            self._poll(LONG_POLL_S)
        if self._answer.fault is not None:
            raise raised(self._answer.fault)
        result = self._answer.result
        if not isinstance(result, self._type):
            raise Refused("the daemon gave another answer than asked for")
        return result

    def accepted(self) -> None:
        """Return once the daemon has taken it on, or raise as it failed at once."""
        if self._poll(0.0).fault is not None:
            self.result()

    def cancel(self, budget_s: float) -> None:
        """Ask for a deployment to be stopped, and give it so long to be undone; then see `result`.

        Safe after an interrupted call: what the old connection was in the middle of is forgotten.
        """
        self._client.close()
        self._until = time.monotonic() + budget_s
        self._client.cancel(self.id, budget_s)

    def _poll(self, wait_s: float) -> Answer:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimedOut(
                "not done in time, the outcome is unknown", code="SF-OP-003",
                hint=f"ask again with: --request-id {self.id}",
            )  # fmt: skip
        wait_s = min(wait_s, left)
        request = Request(self.id, self._op, max(1, int(left * 1000)), int(wait_s * 1000))
        answer = self._client.send("submit", encode(request), Answer, wait_s + CONNECT_S)
        if answer.status != "running":
            self._answer = answer
        return answer


class Client:
    """Talks to one daemon; not for several threads at a time."""

    def __init__(
        self, address: str, *, timeout_s: float = 60.0, security: Security | None = None
    ) -> None:
        """Take `host:port` and how long answers may take; connects on first use.

        Without `security` it goes there with what the settings say, or this user's own certificate.
        """
        from engine.security.community import of_user  # noqa: PLC0415 - with what follows
        from engine.wire.channel import Channel  # noqa: PLC0415 - Pyro5 is slow to import

        self.address = address
        self._timeout_s = timeout_s
        self._channel = Channel(address, security or cache(of_user))
        self._reached = False

    def close(self) -> None:
        """Drop the connection."""
        self._channel.close()

    def send(self, verb: str, message: bytes, type_: type[T], budget_s: float) -> T:
        """Send one encoded message and decode the answer; failures are raised."""
        try:
            data = self._channel.call(verb, message, budget_s)
        except Unreachable as error:
            raise DaemonUnreachable(
                error.fault.message, code="SF-WIRE-002", where=self.address,
                hint="is a daemon running there? start one with: sfdaemon",
            ) from error  # fmt: skip
        wanted: Any = Union[type_, Failed]  # noqa: UP007 - `|` is for types the checker knows
        try:
            answer: T | Failed = decode(data, wanted)
        except msgspec.DecodeError as error:
            raise Refused(
                f"{self.address} sent an answer we cannot read: {error}", code="SF-WIRE-001",
                hint="run the same version on both sides",
            ) from error  # fmt: skip
        if isinstance(answer, Failed):
            raise raised(answer.fault)
        return answer

    # -- questions

    def hello(self) -> Welcome:
        """Ask who is there; refuse another protocol version."""
        welcome = self.send("hello", encode(Hello(PROTOCOL, "client")), Welcome, CONNECT_S)
        if welcome.protocol != PROTOCOL:
            raise Refused(
                f"{self.address} speaks protocol {welcome.protocol}, this program {PROTOCOL}",
                code="SF-WIRE-001", hint="run the same version on both sides",
            )  # fmt: skip
        return welcome

    def _read(self, question: Reading) -> ReadAnswer:
        return self.send("read", encode(question), ReadAnswer, min(20.0, self._timeout_s))  # type: ignore[arg-type] # a union for msgspec

    def tree(self, ref: str = "", *, depth: int = 128, after: str = "", limit: int = 500) -> Page:
        """Return one page of a tree; without `ref` the applications of the daemon."""
        page = self._read(ReadTree(ref=ref, depth=depth, after=after, limit=limit))
        return _expect(page, Page)

    def whole_tree(self, ref: str = "", *, depth: int = 128) -> Iterator[TreeRow]:
        """Give the rows of a tree, page by page."""
        after = ""
        while True:
            page = self.tree(ref, depth=depth, after=after)
            for row in page.rows:
                if isinstance(row, TreeRow):
                    yield row
            if not page.next:
                return
            after = page.next

    def attributes(self, ref: str) -> list[AttributeRow]:
        """Return one level of attributes of a component."""
        page = _expect(self._read(ReadAttributes(ref)), Page)
        return [row for row in page.rows if isinstance(row, AttributeRow)]

    def diagnosis(
        self, *, services: bool = False, whole: bool = False, path: str = ""
    ) -> Diagnosis:
        """Return the daemon's report about itself; see `ReadDiagnosis` for what it may hold."""
        return _expect(self._read(ReadDiagnosis(services, whole, path)), Diagnosis)

    def checkup(self) -> tuple[Finding, ...]:
        """Have the machine of the daemon checked; takes up to most of a minute."""
        return self.send("read", encode(ReadCheckup()), Checkup, CHECKUP_S).findings

    def events(
        self, cursor: str = "", *, application: str = "", kinds: tuple[str, ...] = (),
        limit: int = 500, wait_s: float = 0.0, whole: bool = False, settled: bool = False,
    ) -> tuple[list[Event], str, bool]:  # fmt: skip
        """Return events after a cursor, the next cursor, and whether some were missed between.

        With `whole` those of the application's parts on other hosts come as well, and with `settled`
        all that happened there before this call.
        """
        wait_ms = int(wait_s * 1000)
        pull = Pull(
            cursor, application, kinds, limit=limit, wait_ms=wait_ms, whole=whole, settled=settled
        )
        page = self.send("stream", encode(pull), Page, wait_s + CONNECT_S)
        return [row for row in page.rows if isinstance(row, Event)], page.next, page.gap

    def log(
        self, cursor: str = "", *, path: str = "", level: str = "", trace: str = "",
        limit: int = 500, wait_s: float = 0.0,
    ) -> tuple[list[LogRow], str, bool]:  # fmt: skip
        """Return what components in the daemon logged; see `events`, and `logs` for all hosts.

        Args:
            cursor: Where to go on; empty starts with the oldest record kept.
            path: Complete name of the top of a sub-tree; empty: everything in the daemon.
            level: Only records of this level and worse.
            trace: Only records of the request with this id, or of an operation it led to.
            limit: Records at most.
            wait_s: Seconds to wait for the first one, at most 20.
        """
        wanted = PullLog(cursor, path, level, trace, limit=limit, wait_ms=int(wait_s * 1000))
        page = self.send("stream", encode(wanted), Page, wait_s + CONNECT_S)
        return [row for row in page.rows if isinstance(row, LogRow)], page.next, page.gap

    def channel(self, wanted: OnChannel, wait_s: float = 0.0) -> Channelled:
        """Open, use or close a channel that a component offers; see `engine.client.channels`."""
        return self.send("stream", encode(wanted), Channelled, wait_s + CHANNEL_S)

    def value(self, ref: str) -> Value | Handle:
        """Follow a path, `app:child:attribute`, to a value or component; secrets are not shown."""
        found = _expect(self._read(ReadValue(ref)), Resolved)
        if found.handle is not None:
            return found.handle
        return unflatten(found.value).get("value") if found.value is not None else None

    def peers(self) -> tuple[PeerRow, ...]:
        """Return how the processes the daemon knows answer it now."""
        return _expect(self._read(ReadPeers()), PeersSeen).rows

    def plan_update(self, ref: str, tree: Description) -> Plan:
        """Return what an update would do and what is in its way; changes nothing."""
        return _expect(self._read(ReadUpdate(flatten(tree), ref)), Plan)

    def plan(self, name: str, tree: Description) -> Plan:
        """Return what a start would make and what is wrong with it; changes nothing."""
        return _expect(self._read(ReadPlan(name, flatten(tree))), Plan)

    def dump(self, ref: str, *, resolved: bool = False) -> tuple[Description, tuple[str, ...]]:
        """Return a live sub-tree as a description, and the parts that did not answer."""
        answer = _expect(self._read(ReadDump(ref, resolved=resolved)), Dumped)
        return unflatten(answer.tree), answer.lost

    # -- operations

    def start(
        self, name: str, tree: Description, *, request_id: str = "", expect: str = "",
        signature: str = "", upto: str = "started", budget_s: float = 600.0,
    ) -> Operation[Grown]:  # fmt: skip
        """Have a description made real as the application `name`.

        The same request id gives the same application, however often it is sent. With `expect`, the
        digest of a plan, it is refused if the plan would be another one now. A daemon may ask for a
        `signature` of the description, as `sfca sign` makes it. `upto` may stop it `deployed`.
        """
        id_ = request_id or _new_id()
        op = Create(
            segment=f"s-{id_}", application=name, path=name, name=name, tree=flatten(tree),
            upto=upto, expect=expect,
            inherited=((SIGNATURE, signature),) if signature else (),
        )  # fmt: skip
        return Operation(self, op, id_, budget_s, Grown)

    def terminate(
        self, ref: str, record: Record, *, request_id: str = "", budget_s: float = 600.0
    ) -> Operation[Gone]:
        """Have a component ended, and wait until it is gone."""
        id_ = request_id or _new_id()
        return Operation(self, Terminate(record, ref=ref), id_, budget_s, Gone)

    def cancel(self, request_id: str, budget_s: float) -> None:
        """Have a deployment under way stopped, and wait so long until it is undone.

        Raises:
            EngineError: Nothing is known of it, or it was not undone in time.
        """
        Operation(self, Cancel(request_id), _new_id(), budget_s, Cancelled).result()

    def ping(self, ref: str) -> Pong:
        """Ask a component how it is; runs its check."""
        op = Operation(self, Ping(ref), _new_id(), min(20.0, self._timeout_s), Pong)
        return op.result()

    def graft(
        self, parent: str, name: str, tree: Description, *, signature: str = "",
        request_id: str = "", budget_s: float = 600.0,
    ) -> Operation[Grown]:  # fmt: skip
        """Have a description made real as one more child of a running component."""
        id_ = request_id or _new_id()
        op = Graft(name, flatten(tree), ref=parent, signature=signature)
        return Operation(self, op, id_, budget_s, Grown)

    def change(
        self, ref: str, changes: Sequence[Change], *, expect: int | None = None,
        request_id: str = "",
    ) -> Operation[Changed]:  # fmt: skip
        """Have attributes of a component changed, all or none.

        With `expect` it is refused if they are at another generation by then.
        """
        id_ = request_id or _new_id()
        op = Set(tuple(changes), ref=ref, expect=expect)
        return Operation(self, op, id_, self._timeout_s, Changed)

    def call(
        self, target: Ident, method: str, arguments: Sequence[object], *, request_id: str = "",
        budget_s: float = 600.0, named: Mapping[str, object] | None = None,
    ) -> Operation[Returned]:  # fmt: skip
        """Have an exposed method of a component carried out, which this process must hold itself."""
        id_ = request_id or _new_id()
        by_name = encode(dict(named)) if named else b""
        op = Call(target, method, encode(list(arguments)), by_name)
        return Operation(self, op, id_, budget_s, Returned)

    def detach(self, ref: str, *, request_id: str = "") -> Operation[Cut]:
        """Have a component cut off: an application of its own from then on."""
        id_ = request_id or _new_id()
        return Operation(self, Detach(ref), id_, self._timeout_s, Cut)

    def detach_and_terminate(
        self, ref: str, record: Record, *, request_id: str = ""
    ) -> Operation[Gone]:
        """Have a component cut off, then ended: what was around it goes on."""
        id_ = request_id or _new_id()
        return Operation(self, Detach(ref, then=record), id_, self._timeout_s, Gone)

    def update(
        self, ref: str, tree: Description | None, *, expect: str = "", signature: str = "",
        request_id: str = "", budget_s: float = 600.0,
    ) -> Operation[Updated]:  # fmt: skip
        """Have a running application changed into what is described, or back to what it was."""
        id_ = request_id or _new_id()
        flat = flatten(tree) if tree is not None else None
        return Operation(self, Update(ref, flat, expect, signature), id_, budget_s, Updated)

    def drain(
        self, *, on: bool = True, limit_s: float = 0.0, request_id: str = ""
    ) -> Operation[Drained]:
        """Have the daemon take no new work and its components move away, or take work again."""
        id_ = request_id or _new_id()
        return Operation(self, Drain(on, limit_s), id_, self._timeout_s + limit_s, Drained)

    def set_level(self, ref: str, level: str) -> Levelled:
        """Set which log records count in a sub-tree; an empty level takes that back."""
        id_ = _new_id()
        return Operation(self, SetLevel(level, ref), id_, self._timeout_s, Levelled).result()

    def stop(
        self, *, force: bool = False, drain_s: float = 0.0, request_id: str = ""
    ) -> Operation[Gone]:
        """Have everything in the daemon ended, then the daemon itself.

        Components get `drain_s` seconds to move away first.
        """
        id_ = request_id or _new_id()
        budget_s = max(120.0, self._timeout_s) + drain_s
        return Operation(self, Stop(force, drain_s), id_, budget_s, Gone)


def _new_id() -> str:
    """Return a random id, never used before."""
    return os.urandom(8).hex()


def _expect(answer: ReadAnswer, type_: type[T]) -> T:
    if isinstance(answer, type_):
        return answer
    raise EngineError("the daemon gave another answer than asked for")
