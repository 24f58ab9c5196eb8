"""A list of lines of any length, of which only those on the screen are ever drawn."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import Binding, BindingType
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from typing_extensions import override


class Lines(ScrollView, can_focus=True, inherit_bindings=False):
    """A list with a cursor. A subclass says how many lines there are and draws one at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "line up", show=False),
        Binding("down,j", "move(1)", "line down", show=False),
        Binding("pageup,ctrl+b", "page(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f", "page(1)", "page down", show=False),
        Binding("home,g", "to_end(-1)", "first line", show=False),
        Binding("end,G", "to_end(1)", "last line", show=False),
    ]
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "lines--cursor", "lines--good", "lines--busy", "lines--bad", "lines--faint",
    }  # fmt: skip

    class Moved(Message):
        """The cursor stands on another line."""

        def __init__(self, lines: Lines) -> None:
            """Say whose cursor."""
            self.lines = lines
            super().__init__()

        @property
        @override
        def control(self) -> Lines:
            return self.lines

    def __init__(self, *, id: str) -> None:  # noqa: A002 - Textual's name
        """Begin without lines."""
        super().__init__(id=id)
        self.cursor = 0

    def count(self) -> int:
        """Return how many lines there are."""
        raise NotImplementedError

    def draw(self, index: int, width: int) -> list[tuple[str, Style | None]]:
        """Draw one line of exactly `width` cells, the cursor left out: texts and how they look."""
        raise NotImplementedError

    def look(self, name: str) -> Style:
        """Return one of the styles: `good`, `busy`, `bad`, `faint`; from the style sheet."""
        return self.get_component_rich_style(f"lines--{name}", partial=True)

    def recount(self) -> None:
        """Take in that the lines have changed; keeps the cursor within them."""
        self.virtual_size = Size(self.scrollable_content_region.width, self.count())
        self.cursor = max(0, min(self.cursor, self.count() - 1))
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        """Take the new width."""
        del event
        self.recount()
        self.show_cursor()

    @override
    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        index = y + self.scroll_offset.y
        base = self.rich_style
        if index >= self.count():
            return Strip.blank(width, base)
        here = index == self.cursor
        marked = here and self.has_focus
        style = (
            base + self.get_component_rich_style("lines--cursor", partial=True) if marked else base
        )
        segments = [Segment("▌" if here else " ", style)]
        segments += [
            Segment(text, style if look is None else style + look)
            for text, look in self.draw(index, width - 1)
        ]
        return Strip(segments, width)

    # -- the cursor

    def move_to(self, index: int) -> None:
        """Put the cursor on a line, or on the nearest there is, and have it on the screen."""
        index = max(0, min(index, self.count() - 1))
        if index != self.cursor:
            self.refresh_line(self.cursor)
            self.cursor = index
            self.refresh_line(index)
            self.post_message(self.Moved(self))
        self.show_cursor()

    def show_cursor(self) -> None:
        """Scroll as little as needed to have the cursor on the screen."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif height and self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False)

    def action_move(self, by: int) -> None:
        """Move by lines."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move by pages."""
        self.move_to(self.cursor + by * max(1, self.scrollable_content_region.height - 1))

    def action_to_end(self, which: int) -> None:
        """Move to the first or the last line."""
        self.move_to(0 if which < 0 else self.count() - 1)

    def on_click(self, event: Click) -> None:
        """Put the cursor where the mouse was."""
        offset = event.get_content_offset(self)
        if offset is not None:
            self.move_to(offset.y + self.scroll_offset.y)
