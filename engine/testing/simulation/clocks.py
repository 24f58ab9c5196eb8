"""Clocks and chance of a simulation: every daemon has a wall clock of its own, and dice are data."""

from __future__ import annotations

import contextlib
import random
import secrets
import sys
import time
from collections.abc import Iterator

from engine.testing.simulation.loop import LIFE, SimLoop

EPOCH_S = 1_750_000_000.0


class Clocks:
    """Stands for the module `time` inside the engine.

    Attributes:
        ahead_s: By how much each daemon's wall clock is ahead.
    """

    def __init__(self, loop: SimLoop) -> None:
        """Start with all wall clocks right."""
        self._loop = loop
        self.ahead_s: dict[str, float] = {}

    def time(self) -> float:
        """Return the wall clock of whoever asks."""
        life = LIFE.get()
        ahead_s = self.ahead_s.get(life.machine, 0.0) if life is not None else 0.0
        return EPOCH_S + self._loop.time() + ahead_s

    def monotonic(self) -> float:
        """Return virtual seconds."""
        return self._loop.time()


class Dice:
    """Stands for the modules `random` and `secrets` inside the engine."""

    def __init__(self, seed: int) -> None:
        """Take where all chance comes from."""
        self._random = random.Random(seed)  # noqa: S311 - no secret

    def uniform(self, low: float, high: float) -> float:
        """Return a number between two."""
        return self._random.uniform(low, high)

    def token_hex(self, size: int) -> str:
        """Return so many bytes as digits."""
        return self._random.randbytes(size).hex()


@contextlib.contextmanager
def instead(clocks: Clocks, dice: Dice) -> Iterator[None]:
    """Let the engine's runtime see these clocks and dice."""
    stand_ins: dict[str, tuple[object, object]] = {
        "time": (time, clocks),
        "random": (random, dice),
        "secrets": (secrets, dice),
    }
    changed: list[tuple[object, str, object]] = []
    try:
        for module_name, module in list(sys.modules.items()):
            if not module_name.startswith("engine.runtime."):
                continue
            for name, (real, stand_in) in stand_ins.items():
                if vars(module).get(name) is real:
                    changed.append((module, name, real))
                    setattr(module, name, stand_in)
        yield
    finally:
        for holder, name, real in changed:
            setattr(holder, name, real)
