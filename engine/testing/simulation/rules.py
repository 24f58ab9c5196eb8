"""The rules: the engine's invariants, watched while they are kept or broken."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from engine.core.diff import children
from engine.core.flows import ChildEnded, Happening
from engine.core.lifecycle import State
from engine.core.records import LIVENESS_FAILURE, Record
from engine.runtime.effects import Owner
from engine.runtime.live import Live, RemotePart
from engine.testing.simulation.components import Observer
from sfdl.values import Description

if TYPE_CHECKING:
    from engine.runtime.process import Process

RULES = (
    "no defect: nothing raises what nobody planned",
    "all or nothing",
    "phase barrier",
    "one parent, one owner",
    "hooks never overlap, a terminate hook runs once",
    "a parent decides",
    "told once",
    "bounded",
    "no lock across the wire",
    "repeatable",
    "only data travels",
)

NEXT = {
    None: State.CREATED,
    State.CREATED: State.DEPLOYING,
    State.DEPLOYING: State.DEPLOYED,
    State.DEPLOYED: State.STARTING,
    State.STARTING: State.STARTED,
}
NEEDED = {State.DEPLOYING: State.CREATED, State.STARTING: State.DEPLOYED}


class Broken(Exception):  # noqa: N818 - the word says it
    """A rule was broken.

    Attributes:
        rule: Its number; 0 for a plain defect.
    """

    def __init__(self, rule: int, text: str) -> None:
        """Take which rule, and what was seen."""
        self.rule = rule
        super().__init__(f"rule {rule} ({RULES[rule]}): {text}")


class Seen:
    """What has been seen of one component, over all lives of its daemon.

    Attributes:
        at: When it entered each state, as numbers that only grow.
        up: Whether a running daemon holds it.
        hooks: Hooks that run now.
        terminated: How often its terminate hook has begun.
    """

    __slots__ = (
        "at", "description", "hooks", "host", "id", "incarnation", "path", "record", "root", "segment",
        "state", "terminated", "touched", "up",
    )  # fmt: skip

    def __init__(self, host: str, live: Live) -> None:
        self.id = live.id
        self.host = host
        self.path = live.path
        self.incarnation = live.incarnation
        self.segment = live.segment.id
        self.root = live.parent is None
        self.description: Description = live.description
        self.at: dict[State, int] = {}
        self.state: State | None = None
        self.up = True
        self.hooks: list[str] = []
        self.touched = False
        self.terminated = 0
        self.record: Record | None = None

    def since(self, state: State) -> int:
        """Return when it entered a state, 0 if it never did."""
        return self.at.get(state, 0)


class Rules(Observer):
    """Watches every daemon at once and writes down what breaks a rule.

    Attributes:
        broken: What was broken so far, oldest first.
        trace: Everything seen, one line each.
    """

    def __init__(self, now: Callable[[], float], lease_s: float) -> None:
        """Take the clock and the length of every lease."""
        self._now = now
        self._lease_s = lease_s
        self._count = 0
        self.broken: list[Broken] = []
        self.trace: list[str] = []
        self._by_id: dict[str, Seen] = {}
        self._by_path: dict[str, list[Seen]] = {}
        self._roots: dict[str, Seen] = {}
        self._renewed: dict[tuple[str, str], float] = {}
        self._told: dict[tuple[str, str], Record] = {}
        self._down: dict[str, float] = {}

    def complain(self, rule: int, text: str) -> None:
        """Write down that a rule was broken."""
        self.note(f"BROKEN {rule}: {text}")
        self.broken.append(Broken(rule, text))

    def note(self, text: str) -> None:
        """Write down what was seen."""
        self.trace.append(f"{self._now() - 1000:10.4f} {text}")

    # -- states

    def state(self, host: str, live: Live) -> None:
        """Take in that a component entered a state."""
        seen = self._by_id.get(live.id)
        if seen is None:
            seen = self._first_seen(host, live)
        seen.up = True
        before, after = seen.state, live.state
        self._count += 1
        record = f" {live.record.sentence()}" if after is State.TERMINATING and live.record else ""
        self.note(f"{host} {live.path} {after.value}{record}")
        legal = after is NEXT.get(before) or (
            after is State.TERMINATING and before not in {State.TERMINATING, State.TERMINATED}
        )
        if not legal and not (before is State.TERMINATING and after is State.TERMINATED):
            was = before.value if before else "nothing"
            self.complain(4, f"{live.path} at {host} went from {was} to {after.value}")
        seen.state = after
        seen.at[after] = self._count
        match after:
            case State.CREATED:
                self._one_owner(seen)
            case State.DEPLOYING | State.STARTING:
                self._barrier(seen, after)
            case State.TERMINATING:
                seen.record = live.record
                self._lease_was_over(seen)
            case State.TERMINATED:
                self._ended_well(seen)
            case _:
                pass

    def _first_seen(self, host: str, live: Live) -> Seen:
        seen = Seen(host, live)
        self._by_id[live.id] = seen
        self._by_path.setdefault(live.path, []).append(seen)
        if seen.root:
            before = self._roots.get(seen.segment)
            if before is not None:
                self.complain(9, f"part {seen.segment} at {seen.path} was made a second time")
            self._roots[seen.segment] = seen
        return seen

    def _one_owner(self, seen: Seen) -> None:
        for other in self._by_path[seen.path]:
            if other is not seen and other.up and other.state is not State.TERMINATED:
                state = other.state.value if other.state else "being created"
                self.complain(
                    3, f"{seen.path} is made at {seen.host} while one is {state} at {other.host}"
                )

    # -- the barrier

    def _barrier(self, seen: Seen, phase: State) -> None:
        root = self._growth_root(seen)
        since = root.since(State.CREATED)
        for path, _ in described(root.path, root.description):
            there = any(
                other.since(State.CREATED) >= since and other.since(NEEDED[phase])
                for other in self._by_path.get(path, ())
            )
            if not there:
                text = f"{seen.path} is {phase.value} but {path} was never {NEEDED[phase].value}"
                self.complain(2, text)

    def _growth_root(self, seen: Seen) -> Seen:
        """Return the top of the tree that is growing together with a component."""
        root = seen
        while True:
            above, _, _ = root.path.rpartition(":")
            born = root.since(State.CREATED)
            parents = [
                other
                for other in self._by_path.get(above, ())
                if 0 < other.since(State.CREATED) < born
            ]
            if not parents:
                return root
            parent = parents[-1]
            if 0 < parent.since(State.STARTED) < born or not parent.up or parent.record is not None:
                return root
            root = parent

    # -- ends

    def _lease_was_over(self, seen: Seen) -> None:
        record = seen.record
        if record is None or record.component != seen.path or record.type != LIVENESS_FAILURE:
            return
        renewed_s = self._renewed.get((seen.host, seen.segment))
        if not record.description.startswith("no sign of life") or renewed_s is None:
            return
        age_s = self._now() - renewed_s
        if age_s < self._lease_s - 0.01:
            self.complain(5, f"{seen.path} gave its parent up {age_s:.2f} s after it was heard of")

    def _ended_well(self, seen: Seen) -> None:
        if seen.touched and seen.terminated != 1:
            text = f"{seen.path} at {seen.host} ended with {seen.terminated} terminate hooks"
            self.complain(4, text)
        if seen.hooks:
            self.complain(4, f"{seen.path} ended while {seen.hooks[0]} was running")

    def renewed(self, host: str, segments: Sequence[str]) -> None:
        """Take in that a daemon has answered a beat for these segments."""
        for segment in segments:
            self._renewed[host, segment] = self._now()

    # -- hooks and flows

    @override
    def hook(self, live: Live, name: str, *, begins: bool) -> None:
        seen = self._by_id.get(live.id)
        if seen is None or not seen.up:
            return
        if not begins:
            if name in seen.hooks:
                seen.hooks.remove(name)
            return
        self.note(f"{seen.host} {live.path} on_{name}")
        if seen.hooks:
            self.complain(4, f"{live.path}: on_{name} began while on_{seen.hooks[0]} was running")
        seen.hooks.append(name)
        seen.touched = True
        if name == "terminate":
            seen.terminated += 1
            if seen.terminated > 1:
                self.complain(4, f"{live.path}: on_terminate began a second time")

    @override
    def told(self, parent: Live, what: Happening) -> None:
        self.note(f"{parent.path} told {type(what).__name__} {getattr(what, 'child', '')}")
        if not isinstance(what, ChildEnded):
            return
        child = parent.children.get(what.child)
        if child is None:
            return  # told again after a restart: it was down at the crash
        key = parent.id, child.segment if isinstance(child, RemotePart) else child.id
        if key in self._told:
            self.complain(6, f"{parent.path} was told of {what.child}'s end twice")
        self._told[key] = what.record
        first = self._first_record(child)
        presumed = what.record.type == LIVENESS_FAILURE
        if first is not None and not presumed and first.type != what.record.type:
            text = f"{parent.path} was told {what.record.type} of {what.child}, it was {first.type}"
            self.complain(6, text)

    def _first_record(self, child: Live | RemotePart) -> Record | None:
        if isinstance(child, Live):
            return child.record
        root = self._roots.get(child.segment)
        return root.record if root is not None else None

    # -- lives of daemons

    def down(self, host: str) -> None:
        """Take in that a daemon has lost its memory."""
        self.note(f"{host} is down")
        self._down[host] = self._now()
        for seen in self._by_id.values():
            if seen.host == host:
                seen.up = False
                seen.hooks.clear()
                seen.terminated = 0  # an end that is not durable has not happened
                if seen.since(State.STARTED):
                    seen.state = State.STARTED
        for parent, child in [key for key in self._told if self._by_id[key[0]].host == host]:
            del self._told[parent, child]

    def let_go(self, host: str, process: Process, *, in_time: bool) -> None:
        """Check that a daemon that went down in order has left nothing half ended.

        Args:
            host: Its name.
            process: What it was.
            in_time: It had not waited as long as it may.
        """
        if not in_time:
            return
        for seen in self._by_id.values():
            if seen.host == host and seen.up and seen.state is State.TERMINATING:
                self.complain(7, f"{host} went down while {seen.path} was ending")
        for live in process.lives.values():
            if live.ending is not None and not live.ending.done():
                self.complain(7, f"{host} went down and left {live.path} half ended")

    def begun(self, host: str, process: Process) -> None:
        """Take in what a daemon has taken up of its earlier life."""
        self.note(f"{host} has begun")
        self._down.pop(host, None)
        for live in process.lives.values():
            seen = self._by_id.get(live.id)
            if seen is None:
                self.complain(3, f"{host} took up {live.path}, which nobody had made")
            elif not seen.since(State.STARTED):
                self.complain(1, f"{host} took up {live.path}, which had never started")
            else:
                seen.up = True
                self._one_owner(seen)

    # -- answers

    def deployed(self, segment: str) -> None:
        """Check that a deployment that was answered with success has started everything."""
        root = self._roots.get(segment)
        if root is None:
            self.complain(1, f"{segment} is answered as started but was never made")
            return
        since = root.since(State.CREATED)
        for path, _ in described(root.path, root.description):
            started = (
                other.since(State.STARTED)
                for other in self._by_path.get(path, ())
                if other.since(State.CREATED) >= since
            )
            if not any(started):
                self.complain(1, f"{root.path} is answered as started, {path} never was")

    def made_by(self, segment: str) -> list[Seen]:
        """Return what a deployment has made, whatever became of it."""
        root = self._roots.get(segment)
        if root is None:
            return []
        since = root.since(State.CREATED)
        if not since:
            return [root]  # it failed before anything was created below it
        later = (seen.since(State.CREATED) for seen in self._by_path[root.path])
        until = min((at for at in later if at > since), default=self._count + 1)
        paths = [path for path, _ in described(root.path, root.description)]
        return [
            seen
            for path in paths
            for seen in self._by_path.get(path, ())
            if since <= seen.since(State.CREATED) < until
        ]

    def own_end(self, seen: Seen, segment: str) -> bool:
        """Say whether a component of a deployment ended before the rollback, and its parent decided."""
        return seen.segment != segment or any(child == seen.id for _, child in self._told)

    def rolled_back(self, segment: str) -> None:
        """Check that a deployment that was answered with failure has left nothing."""
        for seen in self.made_by(segment):
            if seen.up and seen.state is not State.TERMINATED:
                state = seen.state.value if seen.state else "being created"
                self.complain(1, f"{seen.path} is {state} at {seen.host} after the rollback")

    # -- when everything is quiet

    def unquiet(self, processes: Sequence[Process]) -> list[tuple[int, str]]:
        """Return what must not be once nothing has been disturbed for a while: rule and sentence."""
        held = {segment for process in processes for segment in process.segments}
        found: list[tuple[int, str]] = []
        for process in processes:
            if process.operations.running:
                found.append((7, f"{process.node_name} still works on a request"))
            for live in process.lives.values():
                if live.state is not State.STARTED:
                    found.append((7, f"{live.path} is still {live.state.value}"))
                    continue
                for child in live.children.values():
                    found.extend(self._unquiet_child(live, child, held))
        return found

    def _unquiet_child(
        self, live: Live, child: Live | RemotePart, held: set[str]
    ) -> Iterator[tuple[int, str]]:
        if isinstance(child, Live):
            if child.state is State.TERMINATED and (live.id, child.id) not in self._told:
                yield 5, f"{live.path} was never told that {child.name} has ended"
        elif child.state is State.STARTED and child.segment not in held:
            yield 5, f"{live.path} was never told that part {child.name} has ended"

    def held(self, owner: Owner) -> bool:
        """Say whether the component something belongs to has not ended.

        That of a daemon which has been down for longer than a lease may be replaced elsewhere.
        """
        return any(
            seen.incarnation == owner.incarnation
            and seen.state is not State.TERMINATED
            and self._now() - self._down.get(seen.host, self._now()) <= self._lease_s
            for seen in self._by_path.get(owner.path, ())
        )

    def reported(self, host: str) -> bool:
        """Say whether what a daemon holds can be known: it is not down."""
        return host not in self._down

    def running(self) -> list[Seen]:
        """Return the components that have started and not ended, in order of their making."""
        return [seen for seen in self._by_id.values() if seen.up and seen.state is State.STARTED]


def described(path: str, tree: Description) -> Iterator[tuple[str, Description]]:
    """Give the paths of a tree, parents first."""
    yield path, tree
    for name, child in children(tree):
        yield from described(f"{path}:{name}", child)


async def settled(condition: Callable[[], bool], *, bound_s: float, every_s: float) -> bool:
    """Wait until a condition holds; say whether it did within the bound."""
    loop = asyncio.get_running_loop()
    until = loop.time() + bound_s
    while not condition():
        if loop.time() >= until:
            return False
        await asyncio.sleep(every_s)
    return True
