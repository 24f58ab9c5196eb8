"""Groups of children: `Parallel`, `ForEach`, `Collect`, and those with other ties to their parent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from components.workflow.base import Workflow, as_value, failed
from components.workflow.many import Many, Rules
from engine.compound import Compound
from engine.core.faults import BadDescription, NotFound, Refused
from engine.core.flows import (
    Asked,
    ChildEnded,
    ChildGone,
    ChildStarted,
    CutOff,
    Do,
    Drop,
    Finish,
    Flow,
    Happening,
    Publish,
    StartChild,
    StartFailed,
)
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.runtime.attributes import attr, exposed, on_change
from engine.runtime.kinds import bool_, int_, list_, str_
from engine.wire.codec import decode_value
from sfdl.values import Description, Reference


class Parallel(Workflow, type="flow.parallel"):
    """Runs its children at the same time; ends normally when all have, abnormally with the first
    that fails, the others with it.

    They are brought up one after the other, or all at once with `asynchCreateChild`.

    Example:
        both extends Parallel {
            asynchCreateChild true;
            one extends Process { cmd [|"true"|]; terminate true; }
            two extends Process { cmd [|"true"|]; terminate true; }
        }
    """  # noqa: D205 - one sentence

    together = attr(
        bool_, False, doc="Bring up all at once, without waiting for one another.",
        called="asynchCreateChild",
    )  # fmt: skip
    concurrency = attr(
        int_,
        0,
        ge=0,
        doc="Most children there at a time, the next when one has ended; 0: no limit.",
    )
    empty_ends = attr(
        bool_, False, doc="End at once if there are no children.", called="terminateOnEmptyDeploy"
    )
    failed_end_ends = attr(
        bool_, True, doc="End when a child fails; else go on, and say so.",
        called="terminateOnAbnormalChildTermination",
    )  # fmt: skip
    failed_start_ends = attr(
        bool_, True, doc="End when a child cannot be started; else go on, if they come up all at once.",
        called="terminateOnAbnormalChildDeploy",
    )  # fmt: skip

    @override
    def make_flow(self) -> Flow[Any]:
        names = self.several()
        rules = Rules(
            at_once=self.concurrency, one_by_one=not self.together,
            borne_ends=not self.failed_end_ends,
            borne_starts=self.together and not self.failed_start_ends,
            stays_empty=not names and not self.empty_ends,
        )  # fmt: skip
        return Many(len(names), lambda number: StartChild(names[number]), rules)


class ForEach(Workflow, type="flow.foreach"):
    """Runs its action once for each item, with the attributes `item` and `index` set.

    Where the action says `sfProcessHost LAZY ATTRIB item`, each is made on the host that its item names.

    Example:
        each extends ForEach {
            items [|"a", "b"|]; parallel 2;
            action extends Process { cmd [|"true"|]; terminate true; }
        }
    """

    needs_action = True
    items = attr(list_, doc="What to run it for.")
    parallel = attr(int_, 1, ge=1, doc="How many at a time.")

    @override
    def make_flow(self) -> Flow[Any]:
        action, items = self.action(), self.items
        found = self.live.value(action)
        host = found.get("sfProcessHost") if isinstance(found, Description) else None
        on_item = isinstance(host, Reference) and host.parts[-1].name == "item"

        def start(number: int) -> StartChild:
            item = as_value(items[number])
            where = (("sfProcessHost", item),) if on_item else ()
            extra = (("item", item), ("index", number), *where)
            return StartChild(f"{action}{number}", action, extra)

        return Many(len(items), start, Rules(at_once=self.parallel))


class Collect(Workflow, type="flow.collect"):
    """Has a number of like children, made from `template`, each with its `index`.

    The number may be changed while it runs: the newest go first. With `items` there is one for each,
    with `item` set. A child that fails ends it; it ends normally once all have.

    Example:
        workers extends Collect { count 3; template extends DoNothing { terminationType "none"; } }
    """

    apart = frozenset({"condition", "template"})
    count = attr(int_, None, ge=0, le=100_000, doc="How many; as many as items if not given.",
                 tags=frozenset({"updatable"}))  # fmt: skip
    items = attr(list_, None, doc="What each is for.")
    prefix = attr(str_, "element", doc="What the children are called, before their number.",
                  called="prefix")  # fmt: skip

    @override
    async def on_deploy(self) -> None:
        await super().on_deploy()
        if not isinstance(self.live.value("template"), Description):
            text = "template must be a component description"
            raise BadDescription(text, code="SF-FLOW-001", where=self.path)
        if (self.count is None) == (self.items is None):
            text = "one of count and items must be given, and not both"
            raise BadDescription(text, code="SF-FLOW-002", where=self.path)

    @on_change("count")
    async def scale(self, old: object, new: int | None) -> None:
        """Have so many from now on."""
        del old
        if new is None or self.items is not None:
            raise Refused("the items say how many there are", where=self.path)
        self.tell(Asked("count", new))

    @override
    def make_flow(self) -> Flow[Any]:
        items, prefix = self.items, self.prefix
        wanted = len(items) if items is not None else self.count or 0

        def start(number: int) -> StartChild:
            item = (("item", as_value(items[number])),) if items is not None else ()
            return StartChild(f"{prefix}{number}", "template", (*item, ("index", number)))

        return Many(wanted, start, Rules(stays_empty=items is None))


class Lodgers(Struct, frozen=True):
    """Children on their way up, by name."""

    starting: tuple[str, ...] = ()


class Letting:
    """Brings up children and lets them go whatever becomes of them."""

    state_type: type[Lodgers] = Lodgers

    def __init__(self, children: tuple[str, ...]) -> None:
        """Take those to bring up at first."""
        self._children = children

    def begin(self, children: Mapping[str, State]) -> tuple[Lodgers, Sequence[Do]]:
        """Bring them up."""
        del children
        return Lodgers(self._children), [StartChild(name) for name in self._children]

    def resume(self, state: Lodgers, children: Mapping[str, State]) -> tuple[Lodgers, Sequence[Do]]:
        """Bring up again those that were on their way."""
        left = tuple(name for name in state.starting if name not in children)
        return Lodgers(left), [StartChild(name) for name in left]

    def on(self, state: Lodgers, what: Happening, now_s: float) -> tuple[Lodgers, Sequence[Do]]:
        """Forget a child that ended, and say so."""
        del now_s
        match what:
            case ChildStarted(child) | ChildGone(child):
                return self._known(state, child), ()
            case ChildEnded(child, record) | StartFailed(child, record):
                said = Publish(f"{child} ended: {record.sentence()}")
                return self._known(state, child), (Drop(child), said)
            case _:
                return state, ()

    @staticmethod
    def _known(state: Lodgers, child: str) -> Lodgers:
        return replace(state, starting=tuple(name for name in state.starting if name != child))


class Container(Workflow, type="flow.container"):
    """Has children that come and go: the end of one, however it ends, only removes it.

    It goes on without any, and others may add and remove children.

    Example:
        house extends Container { guest extends DoNothing { time "1s"; } }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return Letting(self.several())

    @exposed()
    async def create(self, name: str, description: bytes) -> None:
        """Create and start a child.

        Args:
            name: Its name; none that is taken.
            description: What it is made from, encoded.
        """
        if not name.isidentifier() or name.startswith("sf"):
            raise Refused(f"{name!r} is no name for a child", where=self.path)
        if name in tuple(self.children) or self.live.has(name):
            raise Refused(f"{name} is there already", where=self.path)
        found = decode_value(description)
        if not isinstance(found, Description):
            raise BadDescription(f"{name} must be a component description", where=self.path)
        await self.create_child(name, Description(found.attributes, found.tags))

    @exposed()
    async def remove(self, name: str) -> None:
        """End a child and forget it."""
        if name not in tuple(self.children):
            raise NotFound(f"there is no child {name}", where=self.path)
        await self.live.nursery.end(name, Record.normal("removed"), again=False)


class Fusing(Letting):
    """Lets nothing pass upwards: with the end of a child it cuts itself off, and ends."""

    @override
    def on(self, state: Lodgers, what: Happening, now_s: float) -> tuple[Lodgers, Sequence[Do]]:
        """Cut the ties when a child ends."""
        if isinstance(what, ChildEnded | StartFailed):
            return state, (CutOff(itself=True, record=failed(what.record)),)
        return super().on(state, what, now_s)


class FireBreak(Workflow, type="flow.firebreak"):
    """Keeps the end of a child from its parent: it cuts itself off and ends, and the rest goes on.

    Example:
        safe extends FireBreak { risky extends Process { cmd [|"true"|]; terminate true; } }
    """

    @override
    def make_flow(self) -> Flow[Any]:
        return Fusing(self.several())


class Retract(Compound, type="flow.retract"):
    """Has ordinary children, which are always ended one by one, the last first.

    Example:
        ordered extends Retract { first extends Compound; second extends Compound; }
    """

    reserved = {"sfSyncTerminate": True, "sfTerminateOrder": "reverse"}  # noqa: RUF012 - never changed

    @override
    async def on_deploy(self) -> None:
        given = self.live.value("sfTerminateOrder"), self.live.value("sfSyncTerminate")
        if given[0] not in {None, "reverse"} or given[1] is False:
            text = "a Retract always ends its children one by one in reverse order"
            raise BadDescription(text, code="SF-FLOW-003", where=self.path)


class Freeing:
    """Lets go of the children, and of the parent, as soon as it has started."""

    def __init__(self, do: CutOff) -> None:
        """Take what is to be done."""
        self._do = do

    def begin(self, children: Mapping[str, State]) -> tuple[None, Sequence[Do]]:
        """Do it."""
        del children
        return None, (self._do,)

    def on(self, state: None, what: Happening, now_s: float) -> tuple[None, Sequence[Do]]:
        """Share the fate of a child that was not freed."""
        del now_s
        if isinstance(what, ChildEnded):
            return state, (Finish(what.record),)
        return state, ()


class DetachingCompound(Compound, type="flow.detachingcompound"):
    """Frees its children as applications of their own once it has started, cuts itself off, ends.

    Example:
        free extends DetachingCompound { service extends Compound { sfProcessComponentName "service"; } }
    """

    downwards = attr(bool_, True, doc="Free the children.", called="detachDownwards")
    upwards = attr(bool_, True, doc="Cut itself off from its parent.", called="detachUpwards")
    ends = attr(bool_, True, doc="End afterwards.", called="autoDestruct")

    @override
    def make_flow(self) -> Flow[Any]:
        record = Record.normal("its children are on their own") if self.ends else None
        return Freeing(CutOff(self.downwards, self.upwards, record))
