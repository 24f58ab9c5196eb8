"""Events: what happened, as small frozen data with a sentence for people.

There are many of them and they cannot form circles, so the garbage collector need not look at them.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from engine.core.records import Record


class Ident(Struct, frozen=True, gc=False):
    """Which component of which daemon; opaque to users and never used again."""

    daemon: str
    component: str


class StateChanged(Struct, frozen=True, tag="state", gc=False):
    """A component entered a state; `record` is set once it is ending."""

    state: str
    record: Record | None = None


class ReadyChanged(Struct, frozen=True, tag="ready", gc=False):
    """A component became ready, or stopped being so."""

    ready: bool


class HealthChanged(Struct, frozen=True, tag="health", gc=False):
    """The verdict about a component changed."""

    good: bool | None
    text: str


class AttributeChanged(Struct, frozen=True, tag="attribute", gc=False):
    """An attribute got another value; `text` shows it, secrets excepted."""

    attribute: str
    text: str


class Restarted(Struct, frozen=True, tag="restart", gc=False):
    """A flow decided something about a child."""

    text: str


class EffectEvent(Struct, frozen=True, tag="effect", gc=False):
    """An external thing was made, undone, or is left with the reaper."""

    what: str
    step: str


class Progressed(Struct, frozen=True, tag="op", gc=False):
    """An operation went on."""

    operation: str
    text: str
    done: int = 0
    total: int = 0


class Noted(Struct, frozen=True, tag="log", gc=False):
    """A line worth keeping, with its level: `info`, `warning` or `error`."""

    level: str
    text: str


class Emitted(Struct, frozen=True, tag="app", gc=False):
    """Something a component tells in its own words: a name, and facts as text."""

    name: str
    facts: tuple[tuple[str, str], ...] = ()

    def sentence(self) -> str:
        """Return it in one line.

        Example:
            >>> Emitted("backup", (("files", "7"),)).sentence()
            'backup files=7'
        """
        return " ".join((self.name, *(f"{name}={text}" for name, text in self.facts)))


class Rejected(Struct, frozen=True, tag="security"):
    """Somebody was refused: who it was as far as it is known, from where, and why."""

    caller: str
    address: str
    text: str

    def sentence(self) -> str:
        """Say it in words.

        Example:
            >>> Rejected("", "10.0.0.7:4711", "no certificate was shown").sentence()
            'refused somebody from 10.0.0.7:4711: no certificate was shown'
        """
        return f"refused {self.caller or 'somebody'} from {self.address or 'here'}: {self.text}"


Detail: TypeAlias = (
    StateChanged
    | ReadyChanged
    | HealthChanged
    | AttributeChanged
    | Restarted
    | EffectEvent
    | Progressed
    | Noted
    | Emitted
    | Rejected
)


class Event(Struct, frozen=True, tag="event", gc=False):
    """One event of one process.

    Attributes:
        seq: Number in this process, continuous.
        at_ms: Wall clock, milliseconds since 1970.
        about: The component concerned; both ids are empty for the process itself.
        application: Name of its application, or empty.
        path: Names from the application downwards, joined by `:`.
        body: What happened.
        trace: Id of the request that was being carried out, if one was.
    """

    seq: int
    at_ms: int
    about: Ident
    application: str
    path: str
    body: Detail
    trace: str = ""
