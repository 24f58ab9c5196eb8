"""What all workflow components share: children of their own making, and what follows a job done."""

from __future__ import annotations

from typing import ClassVar

from msgspec.structs import replace
from typing_extensions import override

from engine.compound import Compound
from engine.core.faults import BadDescription
from engine.core.records import ABNORMAL, DEPLOYMENT_FAILURE, LIVENESS_FAILURE, Record
from engine.runtime.foresight import look_over
from engine.runtime.kinds import BadValueError, Kind, duration_ms, plain, shown
from sfdl.values import Description, Value, Vector

NO_LIMIT_S = -1.0


def _either_ms(value: Value) -> float:
    number = plain(value)
    if isinstance(number, int | float) and not isinstance(number, bool) and number < 0:
        return NO_LIMIT_S
    return duration_ms.read(value)


def _word(value: Value) -> str:
    if isinstance(value, str) and value.isidentifier():
        return value
    raise BadValueError(f"must be one word (got {shown(value)})")


signed_ms = Kind("duration, ms; negative: no limit", "anyClass", _either_ms)
"""As `duration_ms`; anything negative reads as `NO_LIMIT_S`."""
word = Kind("word", "String", _word)
"""A name such as the type of a record."""


def as_value(data: object) -> Value:
    """Turn plain data into a value of the language; lists become vectors."""
    if isinstance(data, tuple | list):
        return Vector(tuple(as_value(item) for item in data))
    return data  # type: ignore[return-value] # scalars are the same in both


def as_data(record: Record) -> Description:
    """Turn a record into data that an attribute can hold."""
    names = ("type", "description", "component")
    return Description(tuple((name, getattr(record, name)) for name in names), data=True)


def failed(record: Record) -> Record:
    """Return the record of a child that could not be started as one of an abnormal end."""
    return replace(record, type=ABNORMAL) if record.type == DEPLOYMENT_FAILURE else record


def matches(record: Record, words: tuple[str, ...]) -> bool:
    """Say whether a record is of one of these types; presumed dead is a kind of abnormal.

    Example:
        >>> matches(Record("livenessFailure"), ("abnormal",)), matches(Record("odd"), ("abnormal",))
        (True, False)
    """
    refined = record.type in {LIVENESS_FAILURE, DEPLOYMENT_FAILURE} and ABNORMAL in words
    return record.type in words or refined


class Workflow(Compound, type="workflow"):
    """Creates its children when it has started itself; their ends are progress, not failure.

    When its job is done it looks at `sfShouldDetach`, `sfShouldTerminateQuietly` and
    `sfShouldTerminate`; with none of them it stays, idle. A failure always ends it.

    Attributes:
        apart: Attributes that are descriptions, but not actions.
    """

    creates_children = True
    reserved: ClassVar[dict[str, Value]] = {"sfShouldTerminate": True}
    apart: ClassVar[frozenset[str]] = frozenset({"condition"})
    needs_action: ClassVar[bool] = False

    @override
    def made_with(self) -> frozenset[str]:
        return frozenset({"condition"})

    @override
    async def on_deploy(self) -> None:
        self._lift_older_block()
        if self.needs_action:
            self.action()
        self._look_ahead()

    def _look_ahead(self) -> None:
        """Refuse mistakes in what is to be created later, before anything starts."""
        for name, value in self.live.context().items():
            if isinstance(value, Description) and value.get("sfClass") is not None:
                look_over(value, f"{self.path}:{name}", self.live.process.types)

    def _lift_older_block(self) -> None:
        """Take the children out of a block named `actions`, as descriptions used to have it."""
        block = self.live.value("actions")
        if not isinstance(block, Description):
            return
        self.note("a block named actions is not needed: write its children directly", "warning")
        for name, value in block.attributes:
            if isinstance(value, Description) and not value.data and not self.live.has(name):
                self.live.process.keep_attribute(self.live, name, value)

    def several(self) -> tuple[str, ...]:
        """Return the children to run, in the order declared."""
        apart = self.apart | {"actions"}
        return tuple(name for name, _ in self.live.child_descriptions() if name not in apart)

    def action(self) -> str:
        """Return the attribute that holds the action.

        Raises:
            BadDescription: There is none.
        """
        if isinstance(self.live.value("action"), Description):
            return "action"
        for name in self.several():
            return name
        raise BadDescription(
            "needs an action: a component named action", code="SF-FLOW-001", where=self.path,
            hint="write action extends ... inside it",
        )  # fmt: skip

    def described(self, *names: str) -> str:
        """Return the first of these attributes that is a component description, or nothing."""
        given = (name for name in names if isinstance(self.live.value(name), Description))
        return next(given, "")
