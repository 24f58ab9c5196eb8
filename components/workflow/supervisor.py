"""`Supervisor`: restarts children that end, within a budget."""

from __future__ import annotations

from typing import Any

from typing_extensions import override

from engine.compound import Compound
from engine.core.flows import Flow
from engine.core.supervision import Backoff, Budget, OneForOne, Restart
from engine.runtime.attributes import attr
from engine.runtime.kinds import duration_s, float_, int_, str_
from sfdl.values import Description

RULES = tuple(rule.value for rule in Restart)


class Supervisor(Compound, type="supervisor"):
    """Restarts the one child that ended, after a wait that grows with each restart in a row.

    More than `intensity` restarts in `period` seconds end the supervisor itself abnormally.
    """

    strategy = attr(str_, "one_for_one", choices=("one_for_one",), doc="Whom to restart.")
    restart = attr(
        str_, "transient", choices=RULES,
        doc="Which ends lead to a restart: every, those that are not normal, or none.",
    )  # fmt: skip
    intensity = attr(int_, 3, ge=0, doc="Restarts that are bearable within the period.")
    period = attr(duration_s, 60, doc="Length of the period, in seconds.")
    backoff = attr(duration_s, 1, doc="Seconds before the first restart.")
    backoff_max = attr(duration_s, 60, doc="Most seconds before a restart.", called="backoffMax")
    backoff_factor = attr(float_, 2.0, ge=1, doc="Growth of the wait.", called="backoffFactor")
    reset_after = attr(
        duration_s, 300, doc="Seconds of health after which the wait starts small again.",
        called="resetAfter",
    )  # fmt: skip

    @override
    def make_flow(self) -> Flow[Any]:
        rules = {
            name: self._rule(value)
            for name, value in self.live.description.attributes
            if isinstance(value, Description) and not value.data
        }
        budget = Budget(self.intensity, self.period)
        backoff = Backoff(self.backoff, self.backoff_max, self.backoff_factor, self.reset_after)
        return OneForOne(rules, budget, backoff)

    def _rule(self, child: Description) -> Restart:
        own = child.get("sfRestart")
        return Restart(own if own in RULES else self.restart)
