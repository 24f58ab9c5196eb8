"""What will end with a component, as far as the console knows."""

from __future__ import annotations

from dataclasses import dataclass

from tui import wording
from tui.forest import Node
from tui.model import Model

NAMED = 6


@dataclass(frozen=True)
class Consequences:
    """What a termination would do.

    Attributes:
        components: How many end, the component itself included.
        hosts: What the hosts that hold them are called.
        names: Complete names of the first few.
        lost: How many of them are on hosts that do not answer.
        parent: Complete name of the one that decides what follows, empty for an application.
    """

    path: str
    kind: str
    components: int
    hosts: tuple[str, ...]
    names: tuple[str, ...]
    lost: int
    parent: str

    def sentences(self) -> list[str]:
        """Write it, one line each."""
        where = f" on {', '.join(self.hosts)}"
        lines = [f"{wording.count(self.components, 'component')} will end{where}:"]
        lines += [f"  {name}" for name in self.names]
        if self.components > len(self.names):
            lines.append(f"  and {self.components - len(self.names):,} more")
        if self.lost:
            lines.append(f"{self.lost:,} of them cannot be reached now.")
        if self.parent:
            lines.append(f"{self.parent} decides what follows; under shared fate it ends as well.")
        return lines


def consequences(model: Model, node: Node, now_s: float) -> Consequences:
    """Look at what is below a component, shown or not."""
    nodes = list(node.walk())
    hosts: dict[str, None] = {}
    for each in nodes:
        view = model.host_of(each)
        hosts[view.label if view is not None else each.row.address] = None
    return Consequences(
        path=node.row.path,
        kind=node.row.kind,
        components=len(nodes),
        hosts=tuple(hosts),
        names=tuple(each.row.path for each in nodes[:NAMED]),
        lost=sum(model.lost_for(each, now_s) is not None for each in nodes),
        parent="" if node.parent is None else node.parent.row.path,
    )
