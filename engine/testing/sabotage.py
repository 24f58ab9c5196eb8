"""Planned failures around effects: the means to prove that every step can fail.

A daemon started with `SMARTDOMAINS_SABOTAGE` set to a JSON list of plans carries them out; nothing is
loaded otherwise. Each plan strikes once, or as often as `times` says.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path
from typing import Literal

from msgspec import Struct

from engine.core.decoding import from_json
from engine.core.faults import Refused
from engine.runtime.effects import Effect, Site

VARIABLE = "SMARTDOMAINS_SABOTAGE"
STRUCK = "sabotage strikes:"
"""Begins what a daemon logs when a plan is carried out."""

log = logging.getLogger("sf.sabotage")


class Plan(Struct, forbid_unknown_fields=True):
    """One planned failure.

    Attributes:
        effect: Name of the effect's class, or a part of its label.
        when: At `making` (before it is made), `made` (after it was made, the answer is lost), or
            `undoing` (before it is undone).
        mode: `raise` an error, `hang` in a thread until `release` exists, or `kill` the process.
        release: Path that ends a hang once it exists.
        times: How often it strikes.
    """

    effect: str
    when: Literal["making", "made", "undoing"]
    mode: Literal["raise", "hang", "kill"]
    release: str = ""
    times: int = 1


class Saboteur:
    """Carries plans out; given to a process's keeper."""

    def __init__(self, plans: list[Plan]) -> None:
        """Take the plans, in the order they are tried."""
        self.plans = plans
        self.struck: list[str] = []

    async def strike(self, when: str, effect: Effect, site: Site) -> None:
        """Do what the first fitting plan says.

        Raises:
            Refused: A plan says `raise`.
        """
        for plan in self.plans:
            named = plan.effect in {type(effect).__name__, "*"} or plan.effect in effect.label()
            if plan.when == when and named and plan.times > 0:
                plan.times -= 1
                self.struck.append(f"{when} {effect.label()}")
                log.warning("%s %s %s", STRUCK, when, effect.label())
                await self._strike(plan, site)
                return

    async def _strike(self, plan: Plan, site: Site) -> None:
        if plan.mode == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if plan.mode == "hang":
            await site.blocking(_hang, plan.release)
        raise Refused(f"sabotage: {plan.when} {plan.effect}", code="SF-TEST-001")


def _hang(release: str) -> None:
    while not Path(release).exists():
        time.sleep(0.02)


def from_environment() -> Saboteur | None:
    """Return the saboteur asked for by the environment, if there is one."""
    text = os.environ.get(VARIABLE)
    if not text:
        return None
    return Saboteur(from_json(text, list[Plan]))
