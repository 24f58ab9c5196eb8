"""Kinds of attribute values that programs, files and checks share."""

from __future__ import annotations

import re
import signal

from engine.runtime.kinds import BadValueError, Kind, description_, list_, plain, shown
from sfdl.values import Description, Value, Vector


def _clean(word: str, value: Value) -> str:
    if "\0" in word:
        raise BadValueError(f"must not contain a zero character (got {shown(value)})")
    return word


def _command(value: Value) -> tuple[str, ...]:
    if isinstance(value, Vector) and value.items and all(isinstance(v, str) for v in value.items):
        words = tuple(_clean(str(item), value) for item in value.items)
        if words[0]:
            return words
    raise BadValueError(f"must be a list of strings, the program first (got {shown(value)})")


def _words(value: Value) -> tuple[str, ...]:
    if isinstance(value, str) and value:
        return (_clean(value, value),)
    if isinstance(value, Vector) and value.items and all(isinstance(v, str) for v in value.items):
        return tuple(_clean(str(item), value) for item in value.items)
    raise BadValueError(f"must be a string or a list of strings (got {shown(value)})")


def _line(value: Value) -> str:
    if isinstance(value, str):
        return _clean(value, value)
    raise BadValueError(f"must be a string (got {shown(value)})")


def _compiled(text: str, what: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise BadValueError(f"{what} must be a regular expression ({error})") from None


def _pattern(value: Value) -> re.Pattern[str]:
    if isinstance(value, str):
        return _compiled(value, shown(value))
    raise BadValueError(f"must be a regular expression (got {shown(value)})")


def _ready(value: Value) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    if isinstance(value, str):
        _compiled(value, shown(value))
        return value
    raise BadValueError(
        f'must be a pattern of its output, a TCP port, or "notify" (got {shown(value)})'
    )


def _signal(value: Value) -> signal.Signals:
    if isinstance(value, str):
        name = value.upper().removeprefix("SIG")
        found = signal.Signals.__members__.get(f"SIG{name}")
        if found is not None:
            return found
    raise BadValueError(f'must be the name of a signal, such as "TERM" (got {shown(value)})')


def _statuses(value: Value) -> tuple[int, ...]:
    found = list_.read(value)
    if all(isinstance(item, int) and not isinstance(item, bool) for item in found):
        numbers = tuple(int(str(item)) for item in found)
        if all(0 <= number <= 255 for number in numbers):
            return numbers
    raise BadValueError(f"must be a list of exit statuses from 0 to 255 (got {shown(value)})")


def _variables(value: Value) -> tuple[tuple[str, str], ...]:
    block: Description = description_.read(value)
    pairs = []
    for name, item in block.attributes:
        data = plain(item)
        if isinstance(data, bool):
            text = "true" if data else "false"
        elif isinstance(data, str | int | float):
            text = str(data)
        else:
            raise BadValueError(f"{name} must be a string, a number or a Boolean")
        if "=" in name or "\0" in name + text:
            raise BadValueError(f"{name} cannot be a variable: it has a zero character or a =")
        pairs.append((name, text))
    return tuple(pairs)


def _script(value: Value) -> tuple[str, ...]:
    if isinstance(value, Description):
        return tuple(script for _, item in value.attributes for script in _script(item))
    if isinstance(value, str):
        return (_clean(value, value),) if value.strip() else ()
    if isinstance(value, Vector):
        return tuple(script for item in value.items for script in _script(item))
    raise BadValueError(f"must be text, a list of texts or a block of them (got {shown(value)})")


def _answers(value: Value) -> tuple[tuple[re.Pattern[str], int, str], ...]:
    found = []
    for item in value.items if isinstance(value, Vector) else (value,):
        words = item.items if isinstance(item, Vector) else ()
        match words:
            case [str(pattern), int(status), str(said)] if 0 <= status <= 255:
                found.append((_compiled(pattern, shown(pattern)), status, said))
            case _:
                raise BadValueError(
                    f"must be lists of a pattern, an exit status and an output (got {shown(item)})"
                )
    return tuple(found)


def _host(value: Value) -> str:
    if isinstance(value, str) and re.fullmatch(r"[^-\s\0/@][^\s\0/@]*", value):
        return value
    raise BadValueError(f"must be a host name or an address (got {shown(value)})")


def _url(value: Value) -> str:
    if isinstance(value, str) and re.fullmatch(r"https?://[^/\s\0][^\s\0]*", value):
        return value
    raise BadValueError(f"must be an address such as http://host/page (got {shown(value)})")


command_: Kind[tuple[str, ...]] = Kind("list of strings", "Vector", _command)
"""A program and its arguments."""
words: Kind[tuple[str, ...]] = Kind("string or list of strings", "anyClass", _words)
line_: Kind[str] = Kind("string", "String", _line)
"""A string that may become a word of a command line or a path: no zero character."""
pattern_: Kind[re.Pattern[str]] = Kind("pattern", "String", _pattern)
ready_: Kind[str | int] = Kind("pattern, port or notify", "anyClass", _ready)
signal_: Kind[signal.Signals] = Kind("signal", "String", _signal)
statuses_: Kind[tuple[int, ...]] = Kind("list of exit statuses", "Vector", _statuses)
variables_: Kind[tuple[tuple[str, str], ...]] = Kind("variables, as DATA", "CD", _variables)
script_: Kind[tuple[str, ...]] = Kind("script", "anyClass", _script)
"""Text, a list of texts, or a block of both: scripts in their order."""
answers_: Kind[tuple[tuple[re.Pattern[str], int, str], ...]] = Kind("answers", "Vector", _answers)
"""What a recording shell answers: pattern, exit status, output."""
host_: Kind[str] = Kind("host", "String", _host)
url_: Kind[str] = Kind("web address", "String", _url)
