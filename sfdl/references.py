"""References as text, and what can be read of them without a grammar."""

from __future__ import annotations

import re
from functools import lru_cache

from sfdl.values import Part, PartKind, Reference

KEYWORDS = frozenset(
    [
        "APPLY",
        "ASSERT",
        "ATTRIB",
        "CONSTANT",
        "DATA",
        "ELSE",
        "ENDSWITCH",
        "ENVPROPERTY",
        "extends",
        "false",
        "FI",
        "HERE",
        "HOST",
        "IENVPROPERTY",
        "IF",
        "IPROPERTY",
        "LAZY",
        "NULL",
        "OPTIONAL",
        "PARENT",
        "PROCESS",
        "PROPERTY",
        "ROOT",
        "SWITCH",
        "TBD",
        "THEN",
        "THIS",
        "true",
        "VAR",
    ]
)
"""Words that cannot be used as bare names."""

_WORD = re.compile(r"(?:[^\W\d]|[$\u00a2-\u00a5])[\w.\-+@#~$%^&\u00a2-\u00a5]*")
_LONE = frozenset((PartKind.PARENT, PartKind.ROOT, PartKind.THIS, PartKind.PROCESS))


def is_word(name: str) -> bool:
    """Tell whether a name can be written without quotes."""
    return _WORD.fullmatch(name) is not None and name not in KEYWORDS


@lru_cache(maxsize=4096)
def written_name(name: str) -> str:
    """Return a name as source text, quoted where it has to be."""
    from sfdl.literals import quoted  # noqa: PLC0415 - seldom needed

    return name if is_word(name) else quoted(name)


def reference_text(reference: Reference) -> str:
    """Return the path of a reference, without `LAZY`, `DATA` and `OPTIONAL`.

    A first `ATTRIB w` and a later `HERE w` are written `w`; names that are no words are quoted.

    Example:
        >>> first, later = Part(PartKind.ATTRIB, "net"), Part(PartKind.HERE, "gateway")
        >>> reference_text(Reference((first, later)))
        'net:gateway'
    """
    return ":".join(
        _part_text(part, first=index == 0) for index, part in enumerate(reference.parts)
    )


def source_text(reference: Reference) -> str:
    """Return the path as source text, where a quoted name needs its keyword in front."""
    return ":".join(
        _part_text(part, first=index == 0, bare=is_word(part.name))
        for index, part in enumerate(reference.parts)
    )


def _part_text(part: Part, *, first: bool, bare: bool = True) -> str:
    if part.kind in _LONE:
        return part.kind.value
    if bare and part.kind is (PartKind.ATTRIB if first else PartKind.HERE):
        return written_name(part.name)
    return f"{part.kind.value} {written_name(part.name)}"
