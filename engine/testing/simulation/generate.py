"""Schedules drawn at random, and what remains of a failing one when all that does not matter is gone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Literal, TypeVar

from msgspec.structs import replace

from engine.testing.simulation.run import run
from engine.testing.simulation.schedule import (
    AnyStep,
    Crash,
    Cut,
    Deploy,
    Finish,
    Freeze,
    Heal,
    Node,
    Noise,
    Ping,
    Quit,
    Repeat,
    Restart,
    Schedule,
    Shift,
    Terminate,
    Thaw,
    Trouble,
)

T = TypeVar("T")

PAUSES_S = (0.0, 0.003, 0.01, 0.03, 0.1, 0.5, 2.0, 5.0, 9.0)
MODES: tuple[Literal["drop", "lose", "twice", "delay"], ...] = ("drop", "lose", "twice", "delay")
HOOKS = ("deploy", "start", "terminate")
STEPS = {
    "deploy": 8, "terminate": 5, "ping": 1, "finish": 4, "repeat": 3, "noise": 7, "crash": 3, "quit": 1,
    "restart": 4, "freeze": 2, "thaw": 2, "cut": 3, "heal": 3, "shift": 1, "trouble": 5,
}  # fmt: skip
"""Kinds of steps and how often each is drawn."""


def schedule(seed: int) -> Schedule:
    """Draw a schedule; the same seed always gives the same.

    Example:
        >>> schedule(7) == schedule(7)
        True
    """
    dice = random.Random(seed)  # noqa: S311 - no secret
    hosts = dice.choice((1, 2, 2, 2, 3, 3, 4))
    draw = _Draw(dice, hosts)
    first = Deploy(app=0, tree=draw.tree(), pause_s=dice.choice(PAUSES_S))
    rest = dice.choices(list(STEPS), list(STEPS.values()), k=dice.randint(1, 11))
    return Schedule(seed, hosts, (first, *(draw.step(kind) for kind in rest)))


class _Draw:
    """Draws nodes and steps for so many daemons."""

    def __init__(self, dice: random.Random, hosts: int) -> None:
        self._dice = dice
        self._hosts = hosts
        self._apps = dice.choice((1, 1, 2))

    def step(self, kind: str) -> AnyStep:  # noqa: C901, PLR0912 - one case per kind
        dice = self._dice
        host, pause_s = dice.randrange(self._hosts), dice.choice(PAUSES_S)
        twice_s = dice.choice((0.0, 0.002, 0.05, 1.0)) if dice.random() < 0.2 else -1.0
        app = dice.randrange(self._apps)
        match kind:
            case "deploy":
                return Deploy(app=app, tree=self.tree(), twice_s=twice_s, pause_s=pause_s)
            case "terminate":
                path = dice.choice(("", "", "", "c0", "c1", "c0:c0"))
                return Terminate(app=app, path=path, twice_s=twice_s, pause_s=pause_s)
            case "ping":
                return Ping(app=app, pause_s=pause_s)
            case "finish":
                return Finish(pick=dice.randrange(8), normal=dice.random() < 0.4, pause_s=pause_s)
            case "repeat":
                return Repeat(pick=dice.randrange(8), pause_s=pause_s)
            case "noise":
                return self._noise(host, pause_s)
            case "crash":
                return Crash(host=host, written=dice.randrange(4), pause_s=pause_s)
            case "quit":
                return Quit(host=host, pause_s=pause_s)
            case "restart":
                return Restart(host=host, pause_s=pause_s)
            case "freeze":
                return Freeze(host=host, pause_s=pause_s)
            case "thaw":
                return Thaw(host=host, pause_s=pause_s)
            case "cut":
                to, both = dice.randrange(self._hosts), dice.random() < 0.5
                return Cut(source=host, to=to, both=both, pause_s=pause_s)
            case "heal":
                return Heal(pause_s=pause_s)
            case "shift":
                return Shift(
                    host=host, by_s=dice.choice((-120.0, -1.0, 1.0, 120.0)), pause_s=pause_s
                )
            case _:
                return Trouble(
                    host=host,
                    when=dice.choice(("make", "make", "undo", "undo", "look")),
                    mode=dice.choice(("raise", "lose", "hang", "stall", "crash", "die")),
                    times=dice.choice((1, 1, 2)),
                    pause_s=pause_s,
                )

    def _noise(self, host: int, pause_s: float) -> Noise:
        dice = self._dice
        mode = dice.choice(MODES)
        return Noise(
            mode=mode,
            verb=dice.choice(("submit", "submit", "beat", "hello", "read", "")),
            to=host,
            times=dice.choice((1, 1, 2, 5)),
            delay_s=dice.choice((0.01, 0.2, 3.0, 20.0)) if mode == "delay" else 0.0,
            pause_s=pause_s,
        )

    # -- trees

    def tree(self) -> Node:
        """Draw a tree of up to nine components; its root has children more often than not."""
        options: list[tuple[str, str | int | bool]] = []
        if self._dice.random() < 0.2:
            options.append(("sfRecovery", "clean"))
        kind = self._dice.choice(("group", "group", "guard", "guard", "leaf"))
        return self._node(kind, 0, options)

    def _node(self, kind: str, depth: int, options: list[tuple[str, str | int | bool]]) -> Node:
        dice = self._dice
        children: tuple[Node, ...] = ()
        if kind in {"group", "guard"}:
            kinds = ("leaf", "leaf", "checked", "group", "guard") if depth < 2 else ("leaf",)
            count = dice.choice((1, 2, 2, 3) if depth == 0 else (0, 1, 2))
            children = tuple(self._node(dice.choice(kinds), depth + 1, []) for _ in range(count))
            for name, value in (("sfConcurrency", 0), ("sfSyncTerminate", True)):
                if dice.random() < 0.3:
                    options.append((name, value))
        if dice.random() < 0.1:
            options.append(("sfOrphanPolicy", "keep"))
        return Node(
            kind=kind,  # type: ignore[arg-type] # drawn from the kinds there are
            host=dice.randrange(self._hosts) if dice.random() < 0.4 else -1,
            children=children,
            things=dice.choice((0, 1, 1, 2)),
            keep=dice.choice(("never",) * 6 + ("normal", "always", "5")),
            slow_s=self._rare(0.3, (0.005, 0.05, 1.0), 0.0),
            fail=self._rare(0.06, HOOKS, ""),  # type: ignore[arg-type] # drawn from the hooks there are
            hang=self._rare(0.04, HOOKS, ""),  # type: ignore[arg-type] # likewise
            ends_s=self._rare(0.15, (0.0, 0.02, 1.0, 4.0), -1.0),
            normal=dice.random() < 0.4,
            unwell_s=self._rare(0.3, (0.0, 3.0), -1.0) if kind == "checked" else -1.0,
            calls=self._rare(0.2, ("c0", "c1", "c0:c0"), "") if kind in {"leaf", "checked"} else "",
            options=tuple(options),
        )

    def _rare(self, chance: float, values: tuple[T, ...], else_: T) -> T:
        return self._dice.choice(values) if self._dice.random() < chance else else_


# -- making a failing schedule small


def broken_rule(candidate: Schedule) -> int | None:
    """Return the rule a schedule breaks, or nothing."""
    broken = run(candidate).broken
    return broken.rule if broken is not None else None


def shrink(
    found: Schedule,
    *,
    fails: Callable[[Schedule], bool] | None = None,
    tries: int = 600,
) -> Schedule:
    """Take away from a failing schedule what does not matter.

    Args:
        found: A schedule that fails.
        fails: Says whether another one fails in the same way; by default: breaks the same rule.
        tries: How many schedules may be run for it.

    Returns:
        A schedule that fails and from which no single step, component or detail can be taken away.
    """
    if fails is None:
        rule = broken_rule(found)
        fails = lambda candidate: broken_rule(candidate) == rule  # noqa: E731 - it closes over the rule
    smaller = True
    while smaller and tries > 0:
        smaller = False
        for candidate in _smaller(found):
            tries -= 1
            if tries <= 0:
                break
            if fails(candidate):
                found, smaller = candidate, True
                break
    return found


def _smaller(found: Schedule) -> Iterator[Schedule]:
    """Give simpler schedules, the boldest first."""
    steps = found.steps
    size = len(steps) // 2
    while size >= 1:
        for at in range(0, len(steps), size):
            if size < len(steps):
                yield replace(found, steps=steps[:at] + steps[at + size :])
        size //= 2
    if found.hosts > 1:
        yield replace(found, hosts=found.hosts - 1)
    for at, step in enumerate(steps):
        for simpler in _simpler_step(step):
            yield replace(found, steps=(*steps[:at], simpler, *steps[at + 1 :]))


def _simpler_step(step: AnyStep) -> Iterator[AnyStep]:
    plain = type(step)()
    if isinstance(step, Deploy):
        for tree in _simpler_node(step.tree):
            yield replace(step, tree=tree)
    for name in step.__struct_fields__:
        if name not in {"tree", "pause_s"} and getattr(step, name) != getattr(plain, name):
            yield replace(step, **{name: getattr(plain, name)})
    if step.pause_s:
        yield replace(step, pause_s=0.0)


def _simpler_node(node: Node) -> Iterator[Node]:
    for at in range(len(node.children)):
        yield replace(node, children=node.children[:at] + node.children[at + 1 :])
    plain = Node()
    for name in node.__struct_fields__:
        if name not in {"kind", "children"} and getattr(node, name) != getattr(plain, name):
            yield replace(node, **{name: getattr(plain, name)})
    for at, child in enumerate(node.children):
        for simpler in _simpler_node(child):
            yield replace(node, children=(*node.children[:at], simpler, *node.children[at + 1 :]))
