"""The keys of a keyboard by name, as Linux numbers them; pure."""

from __future__ import annotations

from engine.runtime.kinds import BadValueError

ROWS = {2: "1234567890", 16: "qwertyuiop", 30: "asdfghjkl", 44: "zxcvbnm"}
"""Keys that are numbered in the order in which they stand, by the number of the first."""
NAMED = {
    "esc": 1, "minus": 12, "equal": 13, "backspace": 14, "tab": 15, "leftbrace": 26,
    "rightbrace": 27, "enter": 28, "ctrl": 29, "semicolon": 39, "apostrophe": 40, "grave": 41,
    "shift": 42, "backslash": 43, "comma": 51, "dot": 52, "slash": 53, "rightshift": 54, "alt": 56,
    "space": 57, "capslock": 58, "numlock": 69, "scrolllock": 70, "rightctrl": 97, "sysrq": 99,
    "rightalt": 100, "home": 102, "up": 103, "pageup": 104, "left": 105, "right": 106, "end": 107,
    "down": 108, "pagedown": 109, "insert": 110, "delete": 111, "power": 116, "pause": 119,
    "meta": 125,
}  # fmt: skip
FUNCTIONS = {f"f{number}": 58 + number for number in range(1, 11)} | {"f11": 87, "f12": 88}
CODES = {
    **{key: first + place for first, row in ROWS.items() for place, key in enumerate(row)},
    **NAMED, **FUNCTIONS,
}  # fmt: skip
MOST_KEYS, MOST_CHORDS = 16, 256
"""Keys that a hypervisor presses together, and chords of one request."""


def read(text: str) -> list[list[int]]:
    """Read chords: with blanks between, each of keys joined by `-`.

    Raises:
        BadValueError: A key is not known, or there are none, or too many.

    Example:
        >>> read("ctrl-alt-delete a 1")
        [[29, 56, 111], [30], [2]]
    """
    chords = [chord.lower().split("-") for chord in text.split()]
    if not chords or len(chords) > MOST_CHORDS or max(map(len, chords)) > MOST_KEYS:
        raise BadValueError(
            f"must be 1 to {MOST_CHORDS} chords of at most {MOST_KEYS} keys each, such as "
            f"ctrl-alt-delete (got {text[:60]!r})"
        )
    unknown = sorted({key for chord in chords for key in chord} - CODES.keys())
    if unknown:
        raise BadValueError(
            f"there is no key {unknown[0]!r}: letters, digits and {', '.join([*NAMED, 'f1 to f12'])}"
        )
    return [[CODES[key] for key in chord] for chord in chords]
