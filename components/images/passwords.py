"""Passwords of a system as its own login reads them."""

from __future__ import annotations

import ctypes
from pathlib import Path

from engine.core.faults import Refused
from engine.runtime.kinds import BadValueError, Kind
from sfdl.values import Value

LIBRARY = "libcrypt.so.1"
"""Part of every system with logins; Python has it no more."""
ROUNDS = 100_000
MOST = 256
_STATE_BYTES = 32768
SHADOW = "etc/shadow"


def _password(value: Value) -> str:
    """Read one; the texts do not repeat it."""
    if not isinstance(value, str):
        raise BadValueError("must be a string")
    if len(value.encode()) > MOST:
        raise BadValueError(f"must have at most {MOST} bytes")
    if not value.isprintable():
        raise BadValueError("must have printable characters only: it is typed at a prompt")
    return value


password_kind = Kind("password", "String", _password)


def crypted(password: str, salt: str, rounds: int = ROUNDS) -> str:
    """Return a password as /etc/shadow has it; blocks for some hundredths of a second.

    Args:
        password: In the clear.
        salt: At most 16 letters and digits; the same gives the same.
        rounds: What guessing costs.

    Raises:
        Refused: The host has no library for it.

    Example:
        >>> crypted("x", "abc").split("$")[1:4]
        ['6', 'rounds=100000', 'abc']
    """
    try:
        crypt = ctypes.CDLL(LIBRARY).crypt_rn
    except (OSError, AttributeError) as error:
        raise Refused(
            f"rootPassword needs {LIBRARY} on its host", code="SF-IMAGE-011",
            hint="apt-get install libcrypt1",
        ) from error  # fmt: skip
    crypt.restype = ctypes.c_char_p
    state = ctypes.create_string_buffer(_STATE_BYTES)
    setting = f"$6$rounds={rounds}${salt}".encode()
    found = crypt(password.encode(), setting, state, ctypes.c_int(_STATE_BYTES))
    if not isinstance(found, bytes):
        raise Refused(f"{LIBRARY} cannot make a password of it", code="SF-IMAGE-011")
    return found.decode()


def give_root(tree: Path, hashed: str) -> None:
    """Let root of a system log in with a password; blocks.

    Raises:
        Refused: The system has no such file.
    """
    path = tree / SHADOW
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError as error:
        raise Refused(f"the image has no /{SHADOW}", code="SF-IMAGE-007") from error
    path.write_text("".join(f"{line}\n" for line in with_root(lines, hashed)))


def with_root(lines: list[str], hashed: str) -> list[str]:
    """Return the lines of a shadow file with another password of root, which does not age.

    Example:
        >>> with_root(["root:*:0:0:99999:7:::", "bin:*:1::::::"], "$6$x")
        ['root:$6$x::0:99999:7:::', 'bin:*:1::::::']
        >>> with_root([], "$6$x")
        ['root:$6$x:::::::']
    """
    found = []
    rest = ["", "", "", "", "", ""]
    for line in lines:
        name, *fields = line.split(":")
        if name == "root":
            rest = fields[2:]
        else:
            found.append(line)
    return [":".join(("root", hashed, "", *rest)), *found]
