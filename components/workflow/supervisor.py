"""`Supervisor`: restarts children that end, within a budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from engine.compound import Compound
from engine.core.dependencies import edges, siblings
from engine.core.flows import Flow
from engine.core.supervision import (
    AutoShutdown,
    Backoff,
    Budget,
    Policy,
    Restart,
    Strategy,
    Supervise,
)
from engine.prim import Prim
from engine.runtime.attributes import attr, exposed, link
from engine.runtime.kinds import duration_s, float_, int_, str_
from sfdl.values import Description, Value

RULES = tuple(rule.value for rule in Restart)


class Placer(Prim):
    """What a supervisor needs of a scheduler: another place for a child."""

    @exposed()
    async def place(self, name: str, avoid: list[str]) -> str:
        """Return the host to make a child on.

        Args:
            name: Complete name of the child.
            avoid: Hosts it was lost on.
        """
        raise NotImplementedError


class Supervisor(Compound, type="supervisor"):
    """Restarts children that end, after a wait that grows with each restart in a row.

    A child may say `sfRestart` for itself, and `sfRestartWith` a sibling with which it is restarted.
    More than `intensity` restarts in `period` seconds end the supervisor itself abnormally.

    Example:
        service extends Supervisor {
            intensity 5; period "1m";
            server extends Process { cmd [|"sleep", "1000"|]; }
        }
    """

    strategy = attr(
        str_, "one_for_one", choices=tuple(each.value for each in Strategy),
        doc="Whom to restart: the one that ended, all, or that one and those after or depending on it.",
    )  # fmt: skip
    restart = attr(
        str_, "transient", choices=RULES,
        doc="Which ends lead to a restart: every, those that are not normal, or none.",
    )  # fmt: skip
    intensity = attr(int_, 3, ge=0, doc="Restarts that are bearable within the period.")
    period = attr(duration_s, 60, doc="Length of the period, in seconds.")
    backoff = attr(duration_s, 1, doc="Seconds before the first restart.")
    backoff_max = attr(duration_s, 60, doc="Most seconds before a restart.", called="backoffMax")
    backoff_factor = attr(float_, 2.0, ge=1, doc="Growth of the wait.", called="backoffFactor")
    jitter = attr(float_, 0.1, ge=0, le=1, doc="Share of the wait that chance may add.")
    reset_after = attr(
        duration_s, 300, doc="Seconds of health after which the wait starts small again.",
        called="resetAfter",
    )  # fmt: skip
    auto_shutdown = attr(
        str_, "never", choices=tuple(each.value for each in AutoShutdown),
        doc="End normally when any, or all, of the children tagged significant ended normally.",
        called="autoShutdown",
    )  # fmt: skip
    min_healthy = attr(
        int_, 0, ge=0, doc="Least number of children up; fewer for the grace time end it.",
        called="minHealthy",
    )  # fmt: skip
    min_healthy_grace = attr(
        duration_s, 60, doc="Seconds fewer children than that are borne.", called="minHealthyGrace"
    )
    on_give_up = attr(
        str_, "terminate", choices=("terminate", "keepFailed"),
        doc="When the budget is spent: end, or leave the child ended and go on unready.",
        called="onGiveUp",
    )  # fmt: skip
    relocate = link(
        Placer, doc="Scheduler that gives a child whose host is lost another place.", required=False
    )

    @override
    def make_flow(self) -> Flow[Any]:
        table = self.live.context()
        names = tuple(name for name, _ in self.live.child_descriptions())
        children = dict(self.live.child_descriptions())
        return Supervise(
            Policy(
                children=names,
                restart={name: self._rule(child) for name, child in children.items()},
                strategy=Strategy(self.strategy),
                budget=Budget(self.intensity, self.period),
                backoff=Backoff(
                    self.backoff, self.backoff_max, self.backoff_factor, self.reset_after,
                    self.jitter, self.live.id,
                ),
                companions=self._companions(table, children),
                dependents=self._dependents(table, names),
                significant=self._tagged("significant"),
                auto_shutdown=AutoShutdown(self.auto_shutdown),
                min_healthy=self.min_healthy,
                grace_s=self.min_healthy_grace,
                keep_failed=self.on_give_up == "keepFailed",
            )
        )  # fmt: skip

    @override
    async def place_child(self, name: str, description: Description) -> Mapping[str, Value]:
        if not self.relocate.given:
            return {}
        lost = await self.lost_on(name)
        if not lost:
            return {}
        host = await self.relocate.api.place(f"{self.path}:{name}", [lost])
        self.note(f"{name} goes to {host}: {lost} does not answer", "warning")
        return {"sfProcessHost": host}

    def _rule(self, child: Description) -> Restart:
        own = child.get("sfRestart")
        return Restart(own if own in RULES else self.restart)

    def _companions(
        self, table: Mapping[str, Value], children: Mapping[str, Description]
    ) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for name, child in children.items():
            for other in siblings(table, name, child.get("sfRestartWith")):
                found.setdefault(other, set()).add(name)
        return {name: frozenset(others) for name, others in found.items()}

    def _dependents(
        self, table: Mapping[str, Value], names: tuple[str, ...]
    ) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {}
        for edge in edges(table, names, self.path.split(":"), implicit=False):
            found.setdefault(edge.on, set()).add(edge.child)
        return {name: frozenset(others) for name, others in found.items()}

    def _tagged(self, word: str) -> frozenset[str]:
        return frozenset(name for name, words in self.live.description.tags if word in words)
