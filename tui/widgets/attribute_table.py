"""The attributes of the selected component."""

from __future__ import annotations

from rich.text import Text
from typing_extensions import override

from engine.wire.messages import AttributeRow
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
    def draw(self, index: int, width: int) -> Text:
        row = self.rows[index]
        name_width = max(12, int(width * NAME_SHARE))
        name = Text(row.name, no_wrap=True)
        name.truncate(name_width - 1, overflow="ellipsis", pad=True)
        right = f"{row.kind} {' '.join(row.tags)}".strip()
        value_width = max(8, width - name_width - max(KIND_WIDTH, len(right) + 1))
        value = Text(row.value.replace("\n", "⏎"), no_wrap=True)
        value.truncate(value_width - 1, overflow="ellipsis", pad=True)
        return Text.assemble(name, " ", value, " ", (right, self.look("faint")), no_wrap=True)
