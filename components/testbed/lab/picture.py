"""A lab drawn for people: a picture of its network, a table of its hosts."""

from __future__ import annotations

from collections.abc import Sequence

from components.testbed.lab.host import Facts

_COLUMNS = ("host", "address", "power", "daemon", "libvirtd", "guests", "faults")
_IN_A_ROW = 8


def table(facts: Sequence[Facts]) -> str:
    """Write one line for each host.

    Example:
        >>> print(table([Facts("h1", "10.77.0.11", "on", "up", "none", 0, ("isolated",))]))
        host  address     power  daemon  libvirtd  guests  faults
        h1    10.77.0.11  on     up      none      0       isolated
    """
    rows = [_COLUMNS, *(_row(each) for each in facts)]
    wide = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(f"{cell:<{size}}" for cell, size in zip(row, wide, strict=True)).rstrip()
        for row in rows
    )


def _row(facts: Facts) -> tuple[str, ...]:
    faults = "; ".join(facts.faults) or "-"
    running = (facts.daemon, facts.libvirtd) if facts.power != "off" else ("-", "-")
    return (facts.name, facts.address, facts.power, *running, str(facts.guests), faults)


def network(names: Sequence[str]) -> str:
    """Draw hosts on the fabric's bridge, a few in a row.

    Example:
        >>> print(network(["h1", "h2", "h3"]))
        ────┬──────┬──────┬──── 10.77.0.0/24
         ┌──┴─┐ ┌──┴─┐ ┌──┴─┐
         │ h1 │ │ h2 │ │ h3 │
         └────┘ └────┘ └────┘
    """
    lines = []
    for start in range(0, len(names), _IN_A_ROW):
        row = names[start : start + _IN_A_ROW]
        end = " 10.77.0.0/24" if start == 0 else ""
        lines.append("────┬──" + "────┬──" * (len(row) - 1) + "──" + end)
        lines.append("".join(" ┌──┴─┐" for _ in row))
        lines.append("".join(f" │{name:^4}│" for name in row))
        lines.append("".join(" └────┘" for _ in row))
    return "\n".join(lines)
