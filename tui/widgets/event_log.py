"""The latest events, as many as there is room for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import tzinfo
from typing import ClassVar

from rich.segment import Segment
from rich.text import Text
from textual.strip import Strip
from textual.widget import Widget
from typing_extensions import override

from engine.core.events import Event
from tui import wording


class EventLog(Widget):
    """Time, host, component and what happened; the newest at the bottom."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"event-log--bad", "event-log--faint"}

    def __init__(self, lines: Sequence[tuple[str, Event]], zone: tzinfo | None, *, id: str) -> None:  # noqa: A002 - Textual's name
        """Show lines that others go on adding to, in a zone."""
        super().__init__(id=id)
        self._lines = lines
        self._zone = zone

    @override
    def render_line(self, y: int) -> Strip:
        width, height = self.content_size
        index = len(self._lines) - height + y if len(self._lines) > height else y
        if index >= len(self._lines):
            return Strip.blank(width, self.rich_style)
        host, event = self._lines[index]
        line = wording.line(event, host)
        faint = self.get_component_rich_style("event-log--faint", partial=True)
        bad = self.get_component_rich_style("event-log--bad", partial=True)
        text = Text.assemble(
            (f"{wording.clock(line.at_ms, self._zone)} ", faint),
            (f"{line.host} ", faint),
            f"{line.path} " if line.path else "",
            ("✖ " if line.bad else "", bad),
            (line.text.replace("\n", " "), bad if line.bad else ""),
            no_wrap=True,
        )
        text.truncate(width, overflow="ellipsis", pad=True)
        return Strip(Segment.apply_style(text.render(self.app.console), self.rich_style), width)
