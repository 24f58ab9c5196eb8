"""Numbers, strings and byte arrays: from their spelling to values, and back.

Functions that read raise `ValueError` with a message for the user.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from math import isfinite, isinf

from sfdl.values import Bytes, Float, Long

INT_MIN, INT_MAX = -(2**31), 2**31 - 1
LONG_MIN, LONG_MAX = -(2**63), 2**63 - 1
_MOST_DIGITS = 4000

_ESCAPES = {
    "n": "\n",
    "t": "\t",
    "b": "\b",
    "r": "\r",
    "f": "\f",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "#": "#",
}
_PAIR = re.compile(r"\\(?:([0-3][0-7]{2})|([\s\S]))")
_BASES = {
    "HEX": (2, 16, "two hexadecimal digits"),
    "DEC": (3, 10, "three decimal digits"),
    "OCT": (3, 8, "three octal digits"),
    "BIN": (8, 2, "eight binary digits"),
}


def unescaped(body: str, quote: str) -> str:
    """Replace the backslash pairs of a string body; `quote` is the only quote that may be escaped.

    Raises:
        ValueError: A backslash is followed by anything that has no meaning there.
    """
    if "\\" not in body:
        return body

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return chr(int(match[1], 8))
        if match[2] not in _ESCAPES or (match[2] in '"#' and match[2] != quote):
            message = f"`\\{match[2]}` is no escape; write `\\\\` for a backslash"
            raise ValueError(message)
        return _ESCAPES[match[2]]

    return _PAIR.sub(replace, body)


def _short(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."


def read_int(text: str) -> int:
    """Read a 32-bit signed integer."""
    value = int(text) if len(text) <= _MOST_DIGITS else INT_MAX + 1
    if not INT_MIN <= value <= INT_MAX:
        raise ValueError(f"{_short(text)} does not fit into 32 bits; a long ends in `L`")
    return value


def read_long(text: str) -> Long:
    """Read a 64-bit signed integer with its suffix."""
    value = int(text[:-1]) if len(text) <= _MOST_DIGITS else LONG_MAX + 1
    if not LONG_MIN <= value <= LONG_MAX:
        raise ValueError(f"{_short(text)} does not fit into 64 bits")
    return Long(value)


def read_double(text: str) -> float:
    """Read a double, with or without suffix."""
    value = float(text.rstrip("dD"))
    if isinf(value):
        raise ValueError(f"{_short(text)} is too large for a double")
    return value


def read_float(text: str) -> Float:
    """Read a single-precision number with its suffix."""
    value = single(float(text[:-1]))
    if isinf(value):
        raise ValueError(f"{_short(text)} is too large for a float")
    return Float(value)


def single(value: float) -> float:
    """Round to single precision; what is too large becomes infinite."""
    if not isfinite(value):
        return value
    try:
        return float(struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def read_bytes(text: str) -> Bytes:
    """Read a byte array such as `#HEX#00ff#`.

    Raises:
        ValueError: The digits do not form whole bytes, or one is above 255.
    """
    form, body = text[1:4], "".join(text[5:-1].split())
    if form == "B64":
        try:
            return Bytes(base64.b64decode(body, validate=True))
        except binascii.Error as error:
            raise ValueError(f"#B64# holds no base64 text: {error}") from error
    width, base, what = _BASES[form]
    if len(body) % width:
        raise ValueError(
            f"#{form}# takes {what} for each byte; `{body}` is left with a part of one"
        )
    values = bytearray()
    for at in range(0, len(body), width):
        group = body[at : at + width]
        try:
            value = int(group, base) if group.isalnum() else -1
        except ValueError:
            value = -1
        if not 0 <= value <= 255:
            why = "is above 255" if value > 255 else f"is not {what}"
            raise ValueError(f"#{form}#: `{group}` {why}")
        values.append(value)
    return Bytes(bytes(values))


def double_text(value: float) -> str:
    """Return the shortest text that reads back as the same double, with `.` or an exponent."""
    return repr(value)


def float_text(value: float) -> str:
    """Return the shortest text that reads back as the same single-precision number."""
    for digits in range(1, 10):
        text = f"{value:.{digits}g}"
        if single(float(text)) == value:
            return repr(float(text))
    return repr(value)


def quoted(text: str) -> str:
    r"""Write a string literal: printable characters as they are, the others escaped.

    Example:
        >>> print(quoted('say "now"\n'))
        "say \"now\"\n"
    """
    return f'"{_SPECIAL.sub(_escaped, text)}"'


_SPECIAL = re.compile(r'[\x00-\x1f"\\\x7f-\x9f\u2028\u2029\ud800-\udfff]')
_SHORT = {"\n": "\\n", "\t": "\\t", "\b": "\\b", "\r": "\\r", "\f": "\\f", "\\": "\\\\", '"': '\\"'}


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    if ord(character) < 256:
        return f"\\{ord(character):03o}"
    return f"\\u{ord(character):04x}"
