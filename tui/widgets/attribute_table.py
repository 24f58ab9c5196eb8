"""The attributes of the selected component."""

from __future__ import annotations

from rich.style import Style
from typing_extensions import override

from engine.wire.messages import AttributeRow
from tui import wording
from tui.widgets.lines import Lines

NAME_SHARE = 0.3
KIND_WIDTH = 11


class AttributeTable(Lines):
    """Name, value, kind and tags, in the order of the description."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        """Begin empty."""
        super().__init__(id=id)
        self.rows: tuple[AttributeRow, ...] = ()
        self._shown: object = None

    def show(self, whose: object, rows: tuple[AttributeRow, ...], title: str) -> None:
        """Show attributes; the cursor goes to the top when they are another component's."""
        self.border_title = title
        if whose != self._shown:
            self._shown = whose
            self.cursor = 0
            self.scroll_to(y=0, animate=False)
        if rows != self.rows:
            self.rows = rows
            self.recount()

    @override
    def count(self) -> int:
        return len(self.rows)

    @override
    def draw(self, index: int, width: int) -> list[tuple[str, Style | None]]:
        row = self.rows[index]
        about = f"{row.kind} {' '.join(row.tags)}".strip()
        name_width = max(12, int(width * NAME_SHARE))
        about_width = max(0, min(width - name_width - 8, max(KIND_WIDTH, len(about) + 1)))
        value_width = width - name_width - about_width
        fitted = wording.fitted
        return [
            (fitted(row.name, name_width - 1) + " ", None),
            (fitted(row.value.replace("\n", "⏎"), value_width - 1) + " ", None),
            (fitted(about, about_width), self.look("faint")),
        ]
