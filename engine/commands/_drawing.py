"""Drawing trees for people: names below each other, the rest in columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Line(NamedTuple):
    """One line of a tree: how deep, what it is called, and what stands behind it in columns."""

    depth: int
    label: str
    cells: tuple[str, ...] = ()


def drawn(lines: Sequence[Line]) -> str:
    """Draw lines in pre-order; columns are as wide as their widest cell.

    Example:
        >>> print(drawn([Line(0, "pool", ("a",)), Line(1, "vm1", ("bb", "x")), Line(1, "vm2")]))
        pool    a
        ├─ vm1  bb  x
        └─ vm2
    """
    labels = [f"{bars}{line.label}" for bars, line in zip(_bars(lines), lines, strict=True)]
    width = max((len(label) for label in labels), default=0)
    columns = max((len(line.cells) for line in lines), default=0)
    wide = [
        max(len(line.cells[column]) for line in lines if column < len(line.cells))
        for column in range(columns)
    ]
    padded = (
        [f"{label:<{width}}", *(f"{cell:<{size}}" for cell, size in zip(line.cells, wide, strict=False))]
        for label, line in zip(labels, lines, strict=True)
    )  # fmt: skip
    return "\n".join("  ".join(cells).rstrip() for cells in padded)


def _bars(lines: Sequence[Line]) -> list[str]:
    """Return what stands before each label; the last line of each level has a corner."""
    bars: list[str] = []
    later: set[int] = set()
    for line in reversed(lines):
        later = {depth for depth in later if depth <= line.depth}
        if line.depth == 0:
            bars.append("")
        else:
            before = "".join("│  " if depth in later else "   " for depth in range(1, line.depth))
            bars.append(before + ("├─ " if line.depth in later else "└─ "))
        later.add(line.depth)
    return bars[::-1]


def table(rows: Iterable[Sequence[str]]) -> str:
    """Write rows in columns.

    Example:
        >>> print(table([("name", "value"), ("a", "1")]))
        name  value
        a     1
    """
    cells = [tuple(row) for row in rows]
    wide = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(f"{text:<{size}}" for text, size in zip(row, wide, strict=True)).rstrip()
        for row in cells
    )


def age(seconds: float) -> str:
    """Write a duration short.

    Example:
        >>> age(3.2), age(200), age(7300), age(90000), age(1e6)
        ('3 s', '3 min', '2 h', '25 h', '11 d')
    """
    for size, unit, least in ((86400, "d", 172800), (3600, "h", 7200), (60, "min", 120)):
        if seconds >= least:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
