"""Kinds of attribute values of file components, and the variables of templates. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

from components.system.kinds import variables_
from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Value, Vector


def _path(value: Value) -> str:
    if isinstance(value, str) and value.strip() and "\0" not in value:
        return value
    raise BadValueError(f"must be a path (got {shown(value)})")


def _affix(value: Value) -> str:
    if isinstance(value, str) and "\0" not in value and "/" not in value:
        return value
    raise BadValueError(f"must be a part of a file's name (got {shown(value)})")


def _mode(value: Value) -> int:
    if isinstance(value, str) and re.fullmatch(r"[0-7]{3,4}", value):
        return int(value, 8)
    raise BadValueError(f'must be permissions in octal, such as "0640" (got {shown(value)})')


def _owner(value: Value) -> str:
    if isinstance(value, str) and re.fullmatch(r"[^\s:\0]+(:[^\s:\0]+)?", value):
        return value
    raise BadValueError(f'must be a user, or "user:group" (got {shown(value)})')


def _encoding(value: Value) -> str:
    try:
        if isinstance(value, str):
            return codecs.lookup(value).name
    except (LookupError, ValueError):  # a name with a null character is the latter
        pass
    raise BadValueError(f'must be an encoding such as "utf-8" (got {shown(value)})')


def _lines(value: Value) -> tuple[str, ...]:
    if isinstance(value, Vector) and all(isinstance(item, str) for item in value.items):
        found = tuple(str(item) for item in value.items)
        if not any("\n" in line for line in found):
            return found
    raise BadValueError(f"must be a list of strings without line ends (got {shown(value)})")


path_: Kind[str] = Kind("path", "String", _path)
affix_: Kind[str] = Kind("part of a name", "String", _affix)
mode_: Kind[int] = Kind("permissions", "String", _mode)
owner_: Kind[str] = Kind("owner", "String", _owner)
encoding_: Kind[str] = Kind("encoding", "String", _encoding)
lines_: Kind[tuple[str, ...]] = Kind("list of lines", "Vector", _lines)
vars_ = variables_

_VARIABLE = re.compile(r"\$(\$|\{([A-Za-z_][A-Za-z0-9_.-]*)\})")


class NoVariableError(KeyError):
    """A template names a variable that has no value."""


def filled(template: str, variables: Mapping[str, str]) -> str:
    """Put values in the places of `${name}`; `$$` is a dollar sign, any other `$` stays.

    Raises:
        NoVariableError: A name has no value.

    Example:
        >>> filled("${who} owes $$5, not $6", {"who": "he"})
        'he owes $5, not $6'
    """

    def value(match: re.Match[str]) -> str:
        if match[1] == "$":
            return "$"
        if match[2] not in variables:
            raise NoVariableError(match[2])
        return variables[match[2]]

    return _VARIABLE.sub(value, template)


def appended(former: bytes, lines: tuple[str, ...], encoding: str) -> bytes:
    r"""Return a text with lines at its end; a last line without an end is given one.

    Example:
        >>> appended(b"a", ("b",), "utf-8")
        b'a\nb\n'
    """
    text = former.decode(encoding)
    if text and not text.endswith("\n"):
        text += "\n"
    return (text + "".join(f"{line}\n" for line in lines)).encode(encoding)
