"""Text that others read as code: quoted, or refused. Pure."""

from __future__ import annotations

from engine.runtime.kinds import BadValueError


def assignment(key: str, value: str) -> str:
    r"""Write one line, or more, of shell that sets a variable to exactly that text.

    Example:
        >>> print(assignment("NAME", "it's $HOME"))
        NAME='it'\''s $HOME'
    """
    quoted = value.replace("'", "'\\''")
    return f"{key}='{quoted}'"


def one_line(name: str, text: str) -> str:
    r"""Return a text that has no line break or other control character in it.

    Raises:
        BadValueError: It has one.

    Example:
        >>> one_line("key", "a\nb")
        Traceback (most recent call last):
        engine.runtime.kinds.BadValueError: key: must be one line without control characters
    """
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise BadValueError(f"{name}: must be one line without control characters")
    return text
