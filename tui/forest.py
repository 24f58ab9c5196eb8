"""The components known, as trees that keep their folds and order while rows are read again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from engine.core.events import Ident
from engine.wire.messages import TreeRow

Key: TypeAlias = tuple[str, str]
"""Address of the daemon that holds the application, and the complete name of the component."""

ENDED = frozenset({"terminating", "terminated"})


class Node:
    """One component: its latest row and its place.

    Attributes:
        host: Address of the daemon that holds the application and through which it was read.
        since_s: When it entered its state, on the console's clock.
        restarting: A decision about its children is under way.
    """

    __slots__ = (
        "children", "depth", "host", "open", "parent", "restarting", "row", "since_s",
    )  # fmt: skip

    def __init__(self, host: str, row: TreeRow, parent: Node | None, since_s: float) -> None:
        """Take its place; the forest links it in."""
        self.host = host
        self.row = row
        self.parent = parent
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.since_s = since_s
        self.children: dict[str, Node] = {}
        self.open = True
        self.restarting = False

    @property
    def key(self) -> Key:
        """Return what the node is found by, also after it was read again."""
        return (self.host, self.row.path)

    def walk(self) -> Iterator[Node]:
        """Give this node and everything below it, parents first, in order."""
        stack = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children.values()))


def above(path: str, name: str) -> str:
    """Return the complete name of the parent, empty for the root of an application.

    Example:
        >>> above("pool:vm:disk", "disk"), above("pool", "pool")
        ('pool:vm', '')
    """
    return path[: -len(name) - 1] if len(path) > len(name) else ""


class Forest:
    """All trees, by the daemon that holds each, with indexes by name and by identity.

    Attributes:
        version: Rises whenever nodes come, go or move.
    """

    def __init__(self, hosts: Sequence[str] = ()) -> None:
        """Start without nodes; trees will be in the order of these hosts."""
        self.roots: dict[str, dict[str, Node]] = {host: {} for host in hosts}
        self.version = 0
        self._by_key: dict[Key, Node] = {}
        self._by_ident: dict[Ident, Node] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def at(self, host: str, path: str) -> Node | None:
        """Return the node of that complete name, if known."""
        return self._by_key.get((host, path))

    def of(self, ident: Ident) -> Node | None:
        """Return the node of that identity, if known."""
        return self._by_ident.get(ident)

    def walk(self) -> Iterator[Node]:
        """Give all nodes, host by host, parents first, in order."""
        for roots in self.roots.values():
            for root in roots.values():
                yield from root.walk()

    def put(self, host: str, row: TreeRow, now_s: float, *, move: bool) -> Node | None:
        """Take in a row; nothing is done, and nothing returned, if its parent is unknown.

        Args:
            host: Through which daemon it was read.
            row: What was read.
            now_s: When, on the console's clock.
            move: Put it behind its siblings, so that rows read in order end up in order.
        """
        node = self._by_key.get((host, row.path))
        if node is None:
            return self._add(host, row, now_s)
        if row.state != "lost" or node.row.state != "lost":
            node.since_s = now_s - row.age_s
        if node.row.ident != row.ident:
            self._forget_ident(node)
            self._by_ident[row.ident] = node
        node.row = row
        siblings = self._siblings(node)
        if move and next(reversed(siblings)) != row.name:
            siblings[row.name] = siblings.pop(row.name)
            self.version += 1
        return node

    def _add(self, host: str, row: TreeRow, now_s: float) -> Node | None:
        path = above(row.path, row.name)
        parent = self._by_key.get((host, path))
        if path and parent is None:
            return None
        node = Node(host, row, parent, now_s - row.age_s)
        self._siblings(node)[row.name] = node
        self._by_key[node.key] = node
        self._by_ident[row.ident] = node
        self.version += 1
        return node

    def _siblings(self, node: Node) -> dict[str, Node]:
        if node.parent is not None:
            return node.parent.children
        return self.roots.setdefault(node.host, {})

    def _forget_ident(self, node: Node) -> None:
        if self._by_ident.get(node.row.ident) is node:
            del self._by_ident[node.row.ident]

    def remove(self, node: Node) -> None:
        """Take out a node and everything below it."""
        for each in node.walk():
            self._by_key.pop(each.key, None)
            self._forget_ident(each)
        self._siblings(node).pop(node.row.name, None)
        self.version += 1

    def holders(self, application: str) -> list[str]:
        """Return the addresses of the daemons known to hold an application of that name."""
        return [host for host, roots in self.roots.items() if application in roots]

    def check(self) -> None:
        """Assert that indexes and trees agree."""
        nodes = list(self.walk())
        if len(nodes) != len(self._by_key):
            raise AssertionError(f"{len(nodes)} nodes, {len(self._by_key)} by name")
        for node in nodes:
            if self._by_key.get(node.key) is not node:
                raise AssertionError(f"{node.key} leads elsewhere")
            if node.parent is not None and node.parent.children.get(node.row.name) is not node:
                raise AssertionError(f"{node.key} is not below its parent")
