"""Schedules: what happens to a few daemons, in order, as data that prints as a script."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from engine.testing.kit import lazy, tree
from sfdl.values import Description

PACKAGE = "engine.testing.simulation.components"
CLASSES = {"leaf": "Leaf", "checked": "Checked", "group": "Group", "guard": "Guard"}


class Node(Struct, frozen=True, repr_omit_defaults=True):
    """One component of a tree to deploy.

    Attributes:
        kind: `leaf`, `checked` (a leaf with a health check), `group` (shared fate) or `guard`
            (restarts its children).
        host: Daemon that is to hold it, by number; negative: where its parent is.
        things: How many effects it makes when it starts.
        keep: Which ends leave them in the world.
        slow_s: Seconds each of its hooks takes.
        fail: Hook that raises, if any.
        hang: Hook that never returns, if any.
        ends_s: Seconds after its start at which it ends by itself; negative: never.
        normal: Whether it then ends with a normal record.
        unwell_s: Seconds after its start at which its check begins to fail; negative: never.
        calls: Path of a component, from the root of the application, that it calls while it starts.
        options: Further reserved attributes.
    """

    kind: Literal["leaf", "checked", "group", "guard"] = "leaf"
    host: int = -1
    children: tuple[Node, ...] = ()
    things: int = 0
    keep: str = "never"
    slow_s: float = 0.0
    fail: Literal["", "deploy", "start", "terminate"] = ""
    hang: Literal["", "deploy", "start", "terminate"] = ""
    ends_s: float = -1.0
    normal: bool = False
    unwell_s: float = -1.0
    calls: str = ""
    options: tuple[tuple[str, str | int | bool], ...] = ()


class Step(Struct, frozen=True, kw_only=True, repr_omit_defaults=True):
    """One thing that happens; the next one follows `pause_s` virtual seconds later."""

    pause_s: float = 0.0


class Deploy(Step, frozen=True, repr_omit_defaults=True):
    """Start application number `app`; its root is at daemon `app` modulo their number.

    Attributes:
        twice_s: Seconds after which the same request is sent once more; negative: it is not.
    """

    app: int = 0
    tree: Node = Node("group")
    twice_s: float = -1.0


class Terminate(Step, frozen=True, repr_omit_defaults=True):
    """End an application, or the component at `path` below it."""

    app: int = 0
    path: str = ""
    twice_s: float = -1.0


class Ping(Step, frozen=True, repr_omit_defaults=True):
    """Ask how an application is."""

    app: int = 0


class Finish(Step, frozen=True, repr_omit_defaults=True):
    """Let one running component end by itself: the `pick`-th of those that run."""

    pick: int = 0
    normal: bool = False


class Repeat(Step, frozen=True, repr_omit_defaults=True):
    """Send an earlier request once more under its id: the `pick`-th of those sent."""

    pick: int = 0


class Noise(Step, frozen=True, repr_omit_defaults=True):
    """Disturb the next messages to a daemon.

    Attributes:
        mode: `drop` the message, `lose` its answer after success, deliver it `twice`, or `delay` it, so
            that later ones overtake it.
        verb: Only messages of this verb; empty: any.
        to: Daemon by number.
        times: How many messages.
    """

    mode: Literal["drop", "lose", "twice", "delay"] = "drop"
    verb: Literal["", "hello", "submit", "read", "beat"] = ""
    to: int = 0
    times: int = 1
    delay_s: float = 0.0


class Crash(Step, frozen=True, repr_omit_defaults=True):
    """Lose a daemon's memory at once; what it had not written durably is gone.

    Attributes:
        written: How many of the writes that were not yet durable reach the disk all the same.
    """

    host: int = 0
    written: int = 0


class Quit(Step, frozen=True, repr_omit_defaults=True):
    """Let a daemon go down in order, letting go of what it holds."""

    host: int = 0


class Restart(Step, frozen=True, repr_omit_defaults=True):
    """Begin a daemon that is down."""

    host: int = 0


class Freeze(Step, frozen=True, repr_omit_defaults=True):
    """Give a daemon no processor time; its clocks go on."""

    host: int = 0


class Thaw(Step, frozen=True, repr_omit_defaults=True):
    """Give it processor time again."""

    host: int = 0


class Cut(Step, frozen=True, repr_omit_defaults=True):
    """Let no message pass from one daemon to another; `both`: nor back."""

    source: int = 0
    to: int = 0
    both: bool = False


class Heal(Step, frozen=True, repr_omit_defaults=True):
    """Mend the network."""


class Shift(Step, frozen=True, repr_omit_defaults=True):
    """Let the wall clock of a daemon jump; monotonic clocks do not."""

    host: int = 0
    by_s: float = 0.0


class Trouble(Step, frozen=True, repr_omit_defaults=True):
    """Let the next effects of a daemon fail.

    Attributes:
        when: At `make`, `undo` or `look`.
        mode: `raise` before it is done, `lose` the answer after; `hang` before it is done or `stall`
            after, until the end of the schedule; `crash` the daemon before or let it `die` after.
    """

    host: int = 0
    when: Literal["make", "undo", "look"] = "make"
    mode: Literal["raise", "lose", "hang", "stall", "crash", "die"] = "raise"
    times: int = 1


AnyStep: TypeAlias = (
    Deploy | Terminate | Ping | Finish | Repeat | Noise | Crash | Quit | Restart | Freeze | Thaw
    | Cut | Heal | Shift | Trouble
)  # fmt: skip


class Schedule(Struct, frozen=True, repr_omit_defaults=True):
    """Everything a run depends on.

    Attributes:
        seed: Of message latencies, disk latencies, ids and liveness phases.
        hosts: How many daemons, 1 to 4.
    """

    seed: int
    hosts: int
    steps: tuple[AnyStep, ...]


def describe(node: Node, hosts: int, *, top: bool = True) -> Description:
    """Return the description of a tree for that many daemons."""
    attributes: dict[str, object] = {"sfClass": f"{PACKAGE}.{CLASSES[node.kind]}"}
    if node.host >= 0:
        attributes["sfProcessHost"] = host_name(node.host % hosts)
    if top:
        attributes |= {"sfLivenessDelay": 2, "sfLivenessFactor": 2}
    attributes |= {"sfDeployTimeout": 5, "sfStartTimeout": 5, "sfTerminateTimeout": 3}
    plain = Node()
    for name, called in _ATTRIBUTES:
        if getattr(node, name) != getattr(plain, name):
            attributes[called] = getattr(node, name)
    if node.calls:
        attributes["calls"] = lazy(f"ROOT:{node.calls}")
    attributes |= dict(node.options)
    for index, child in enumerate(node.children):
        attributes[f"c{index}"] = describe(child, hosts, top=False)
    return tree(attributes)


_ATTRIBUTES = (
    ("things", "things"), ("keep", "keep"), ("slow_s", "slow"), ("fail", "fail"), ("hang", "hang"),
    ("ends_s", "endsAfter"), ("normal", "normal"), ("unwell_s", "unwellAfter"),
)  # fmt: skip


def host_name(number: int) -> str:
    """Return what descriptions call a daemon."""
    return f"host{number}"


def script(schedule: Schedule) -> str:
    """Return a program that runs the schedule and ends with status 1 if a rule is broken."""
    steps = "".join(f"    {step!r},\n" for step in schedule.steps)
    return (
        "from engine.testing.simulation.run import replay\n"
        "from engine.testing.simulation.schedule import *\n\n"
        f"replay(Schedule({schedule.seed}, {schedule.hosts}, (\n{steps})))\n"
    )
