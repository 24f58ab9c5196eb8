"""Having a component do something: an exposed method of it, called by a user."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from engine.client.client import Client
from engine.commands._front import Front
from engine.commands._outcome import Outcome
from engine.commands._progress import wait
from engine.core.faults import EngineError
from engine.wire.codec import decode
from engine.wire.messages import TreeRow
from sfdl.values import Value, Vector


def method_of(action: str) -> str:
    """Return the name of the method for an action as users write it.

    Example:
        >>> method_of("resizeMemory"), method_of("suspend"), method_of("resize_memory")
        ('resize_memory', 'suspend', 'resize_memory')
    """
    return re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", action)


def data_of(word: str) -> object:
    """Read one argument: a literal of the description language, or text as it stands.

    Example:
        >>> data_of("2"), data_of("1g"), data_of('[|"a", 1|]')
        (2, '1g', ['a', 1])
    """
    import sfdl

    return _plain(sfdl.parse_value(word))


def _plain(value: Value) -> object:
    if isinstance(value, Vector):
        return [_plain(item) for item in value.items]
    return value


def call(
    front: Front, client: Client, name: str, action: str, words: Sequence[str],
    connect: Callable[[str], Client], *, wait_s: float = 0.0,
) -> Outcome:  # fmt: skip
    """Have a component do something, and give what it answers; an interrupt stops it.

    Args:
        front: Where to show how far it is.
        client: Knows where the component is.
        name: The component.
        action: What to do.
        words: Its arguments.
        connect: Reaches the daemon or sub-process that holds it.
        wait_s: Most seconds it may wait for its turn; 0: it is refused while the component is busy.
    """
    row = next(iter(client.tree(name, depth=0).rows), None)
    if not isinstance(row, TreeRow):
        raise EngineError("the daemon gave another answer than asked for")
    holder = client if row.address == client.address else connect(row.address)
    operation = holder.call(
        row.ident, method_of(action), [data_of(word) for word in words],
        request_id=front.request_id, budget_s=front.timeout_s,
        named={"wait": wait_s} if wait_s else None,
    )  # fmt: skip
    value = decode(wait(front, operation, undo=True).value, object)
    data = {"component": row.path, "action": action, "value": value}
    return Outcome(data, _text(value) if value is not None else f"{action} {row.path}: done")


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(each)}".rstrip() for key, each in value.items())
    if isinstance(value, list):
        return "\n".join(map(_text, value))
    return (
        {True: "true", False: "false"}.get(value, str(value))
        if isinstance(value, bool)
        else str(value)
    )
