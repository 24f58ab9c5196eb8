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
    "shift+tab": "Shift-Tab",
}  # fmt: skip
_WORDS = {
    "Focus Next": "next pane", "Focus Previous": "previous pane",
    "Copy selected text": "copy marked text", "Quit": "quit",
}  # fmt: skip


def listed(bindings: Iterable[Binding]) -> list[tuple[str, str]]:
    """Return keys and what they do, keys of one action together, in the order given.

    Example:
        >>> listed([Binding("up", "move", "line up"), Binding("k", "move", "line up")])
        [('↑ k', 'line up')]
    """
    found: dict[str, list[str]] = {}
    for binding in bindings:
        if not binding.description or binding.key.startswith("super+"):
            continue
        words = _WORDS.get(binding.description, binding.description)
        signs = found.setdefault(words, [])
        sign = _sign(binding.key)
        if sign not in signs:
            signs.append(sign)
    return [(" ".join(signs), description) for description, signs in found.items()]


def _sign(key: str) -> str:
    if key.startswith("ctrl+"):
        return f"Ctrl-{key[5:].upper()}"
    return _SIGNS.get(key, key)


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
