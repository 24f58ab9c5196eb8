"""What came of something a user asked for: data for programs, text for people, and an exit code."""

from __future__ import annotations

from typing import NamedTuple

from engine.commands._exit import Exit


class Outcome(NamedTuple):
    """What a function of the commands returns; `Front.give` shows it."""

    data: object
    text: str
    code: Exit = Exit.DONE
