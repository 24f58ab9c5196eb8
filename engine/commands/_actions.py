"""The action syntax: `NAME:ACTION:SFREF:SUBREF:HOST:PROCESS`, read from the right.

A field that holds `:` or `,` is quoted with `"` or `'`; only NAME may hold `:` as it is. Empty fields
are allowed, and the last ones may be left out. HOST may be a list, `[h1,"h2:3801"]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import NamedTuple

from sfdl.errors import SmartDomainsError


class Verb(Enum):
    """What an action does."""

    DEPLOY = "DEPLOY"
    DEPLOYWAIT = "DEPLOYWAIT"
    LOAD = "LOAD"
    TERMINATE = "TERMINATE"
    DETACH = "DETACH"
    DETaTERM = "DETaTERM"
    UPDATE = "UPDATE"
    PING = "PING"
    DUMP = "DUMP"
    LIST = "LIST"
    DIAGNOSTICS = "DIAGNOSTICS"
    PARSE = "PARSE"
    PLAN = "PLAN"
    STATUS = "STATUS"
    CALL = "CALL"


DESCRIBED = {Verb.DEPLOY, Verb.DEPLOYWAIT, Verb.LOAD, Verb.UPDATE, Verb.PARSE, Verb.PLAN}
"""Actions that need a description."""
CALLED = {Verb.CALL}
"""Actions whose SFREF is what the component is to do, and whose SUBREF its arguments."""
DEPLOYING = {Verb.DEPLOY, Verb.DEPLOYWAIT, Verb.LOAD}
"""Actions that make something."""
NAMED = {Verb.DETACH, Verb.DETaTERM, Verb.UPDATE, Verb.DUMP, Verb.CALL}
"""Actions that need a name."""
FIELDS_AFTER = 4


class ActionError(SmartDomainsError):
    """A text is no action; the message says why."""


class Action(NamedTuple):
    """One thing to do.

    Attributes:
        name: Of the application or component; empty: the process itself.
        verb: What to do.
        source: The description, as a file; of `CALL`, what the component is to do.
        sub: The part of the description meant; of `CALL`, arguments with commas between.
        hosts: Where, in turn; never empty.
        process: Name of the sub-process there; empty: the root process.
    """

    name: str
    verb: Verb
    source: str = ""
    sub: str = ""
    hosts: tuple[str, ...] = ("localhost",)
    process: str = ""


class _Field(NamedTuple):
    text: str
    quoted: bool
    raw: str


def parse(text: str) -> Action:
    """Read one action.

    Raises:
        ActionError: It is none.

    Example:
        >>> action = parse("pool:DEPLOY:pool.sf::node7")
        >>> action.verb, action.source, action.hosts
        (<Verb.DEPLOY: 'DEPLOY'>, 'pool.sf', ('node7',))
        >>> parse("pool:vm1:TERMINATE").name, parse("x:PING:::[h1,'h2:3801']").hosts
        ('pool:vm1', ('h1', 'h2:3801'))
    """
    fields = list(_split(text, ":"))
    at = _verb_at(fields)
    if at is None:
        known = ", ".join(verb.value for verb in Verb)
        raise ActionError(
            f"{text!r} is no action: write NAME:ACTION:SFREF:SUBREF:HOST:PROCESS, with one of {known}"
        )
    name = ":".join(field.text for field in fields[:at])
    rest = [*fields[at + 1 :], *[_Field("", quoted=False, raw="")] * FIELDS_AFTER][:FIELDS_AFTER]
    source, sub, host, process = rest
    action = Action(
        name, Verb(fields[at].text), source.text, sub.text, _hosts(host), process.text
    )  # fmt: skip
    if action.verb in DESCRIBED and not action.source:
        raise ActionError(f"{text!r}: {action.verb.value} needs a description as its SFREF")
    if action.verb in CALLED and not action.source:
        raise ActionError(f"{text!r}: CALL needs what the component is to do as its SFREF")
    if action.verb in NAMED and not action.name:
        raise ActionError(f"{text!r}: {action.verb.value} needs a NAME")
    return action


def _verb_at(fields: list[_Field]) -> int | None:
    """Find the action word: the rightmost one with no more fields after it than there can be."""
    words = {verb.value for verb in Verb}
    for at in range(len(fields) - 1, -1, -1):
        if len(fields) - at - 1 > FIELDS_AFTER:
            return None
        if fields[at].text in words and not fields[at].quoted:
            return at
    return None


def _hosts(field: _Field) -> tuple[str, ...]:
    text = field.raw.strip()
    if not text:
        return ("localhost",)
    if field.quoted or not (text.startswith("[") and text.endswith("]")):
        return (field.text.strip(),)
    if re.fullmatch(r"\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]+\]", text):
        return (text,)  # one IPv6 address
    hosts = tuple(each.text.strip() for each in _split(text[1:-1], ","))
    if not all(hosts):
        raise ActionError(f"{text!r} is no list of hosts")
    return hosts


def _split(text: str, separator: str) -> Iterator[_Field]:
    """Split at a separator that stands outside of quotes and brackets."""
    field, raw, quote, depth, quoted = "", "", "", 0, False
    for character in text:
        raw += character
        if quote:
            if character == quote:
                quote = ""
            else:
                field += character
        elif character in "\"'":
            quote, quoted = character, quoted or depth == 0
        elif character == separator and depth == 0:
            yield _Field(field, quoted, raw[:-1])
            field, raw, quoted = "", "", False
        else:
            depth += (character == "[") - (character == "]" and depth > 0)
            field += character
    if quote or depth:
        missing = quote or "]"
        raise ActionError(f"{text!r}: {missing} is missing")
    yield _Field(field, quoted, raw)


def parse_lines(lines: Iterable[str]) -> list[Action]:
    """Read a file of actions: one a line; `#` and `//` begin comments.

    Raises:
        ActionError: A line is none; the message has its number.

    Example:
        >>> [action.name for action in parse_lines(["# two", "a:PING", "", "b:PING // the second"])]
        ['a', 'b']
    """
    actions = []
    for number, line in enumerate(lines, 1):
        text = re.split(r"(?:^|\s)(?:#|//)", line.rstrip("\n"), maxsplit=1)[0].strip()
        if not text:
            continue
        try:
            actions.append(parse(text))
        except ActionError as error:
            raise ActionError(f"line {number}: {error.message}") from error
    return actions
