"""The keys that do something now."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static
from typing_extensions import override

_SIGNS = {
    "up": "↑", "down": "↓", "left": "←", "right": "→", "slash": "/", "question_mark": "?",
    "minus": "-", "plus": "+", "pageup": "PgUp", "pagedown": "PgDn", "escape": "Esc",
    "space": "Space", "home": "Home", "end": "End", "enter": "Enter", "tab": "Tab",
    "shift+tab": "Shift-Tab", "ctrl+b": "Ctrl-B", "ctrl+f": "Ctrl-F", "ctrl+c": "Ctrl-C",
}  # fmt: skip


def listed(bindings: Iterable[Binding]) -> list[tuple[str, str]]:
    """Return keys and what they do, keys of one action together, in the order given.

    Example:
        >>> listed([Binding("up", "move", "line up"), Binding("k", "move", "line up")])
        [('↑ k', 'line up')]
    """
    found: dict[str, list[str]] = {}
    for binding in bindings:
        if binding.description:
            signs = found.setdefault(binding.description, [])
            sign = _SIGNS.get(binding.key, binding.key)
            if sign not in signs:
                signs.append(sign)
    return [(" ".join(signs), description) for description, signs in found.items()]


class Help(ModalScreen[None]):
    """Lists keys; any of the usual keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "close"),
    ]

    def __init__(self, keys: list[tuple[str, str]]) -> None:
        """Take what to list."""
        super().__init__()
        self.keys = keys

    @override
    def compose(self) -> ComposeResult:
        table = Table.grid(padding=(0, 2))
        for signs, description in self.keys:
            table.add_row(signs, description)
        with VerticalScroll(id="help") as box:
            box.border_title = "Keys"
            box.border_subtitle = "Esc closes"
            yield Static(table)
