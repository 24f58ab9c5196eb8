"""Levels of log records: the words users write, their numbers, and which counts where."""

from __future__ import annotations

from collections.abc import Mapping

from engine.core.faults import Refused

LEVELS = {
    "ignore": 1,
    "trace": 5,
    "debug": 10,
    "info": 20,
    "warn": 30,
    "warning": 30,
    "error": 40,
    "fatal": 50,
}
DEFAULT = 20


def level_of(word: str) -> int:
    """Return the number of a level.

    Raises:
        Refused: There is no such level.

    Example:
        >>> level_of("trace"), level_of("WARN")
        (5, 30)
    """
    number = LEVELS.get(word.lower())
    if number is None:
        raise Refused(
            f"{word!r} is no log level", code="SF-LOG-001",
            hint="one of: ignore, trace, debug, info, warn, error, fatal",
        )  # fmt: skip
    return number


def word_of(number: int) -> str:
    """Return the word for a number: that of the greatest level that is not above it.

    Example:
        >>> word_of(20), word_of(35), word_of(0)
        ('info', 'warn', 'ignore')
    """
    words = [(value, word) for word, value in LEVELS.items() if word != "warning"]
    return max((pair for pair in words if pair[0] <= number), default=(1, "ignore"))[1]


def level_at(levels: Mapping[str, int], path: str) -> int:
    """Return the level that counts for a component: the nearest one set going up.

    Args:
        levels: Levels set, by complete name; the empty name is the process.
        path: Complete name of the component.

    Example:
        >>> level_at({"": 20, "pool:rack": 10}, "pool:rack:vm1"), level_at({}, "pool")
        (10, 20)
    """
    while path:
        if path in levels:
            return levels[path]
        path = path.rpartition(":")[0]
    return levels.get("", DEFAULT)
