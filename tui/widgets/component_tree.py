"""The tree of components."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.style import Style
from textual.binding import Binding, BindingType
from typing_extensions import override

from tui import wording
from tui.filtering import Filter
from tui.forest import ENDED, Key, Node
from tui.model import Model
from tui.widgets.lines import Lines

STATE_WIDTH = 21
KIND_WIDTH = 17
HOST_WIDTH = 16
AGE_WIDTH = 5
WIDE = 90


class ComponentTree(Lines):
    """Shows the model's rows; the selected component stays selected whatever happens around it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "fold", "fold, or go to the parent", show=False),
        Binding("right,l", "unfold", "unfold, or go to the first part", show=False),
        Binding("space", "turn", "fold or unfold", show=False),
        Binding("minus", "fold_all", "fold all", show=False),
        Binding("plus", "unfold_all", "unfold all", show=False),
    ]

    def __init__(self, model: Model, clock: Callable[[], float], *, id: str) -> None:  # noqa: A002 - Textual's name
        """Show a model by a clock."""
        super().__init__(id=id)
        self._model = model
        self._clock = clock
        self._rows: list[Node] = []
        self._seen: tuple[int, Filter] | None = None
        self._folds = 0
        self._selected: Key | None = None
        self.filter = Filter()

    @property
    def selected(self) -> Node | None:
        """Return the component under the cursor."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    @property
    def paths(self) -> list[str]:
        """Return the complete names of all rows, in order."""
        return [node.row.path for node in self._rows]

    def update(self) -> None:
        """Show the model as it is now."""
        was = self._selected
        state = (self._model.forest.version + self._folds, self.filter)
        if state != self._seen or self.filter.active:
            self._seen = state
            self._rows = self._model.visible(self.filter)
            self._follow(was)
            self.recount()
            self.show_cursor()
        else:
            self.refresh()
        now = self.selected
        self._selected = now.key if now is not None else None
        if self._selected != was:
            self.post_message(self.Moved(self))

    def _follow(self, key: Key | None) -> None:
        """Put the cursor on the component selected before, or on the nearest above it shown."""
        if key is None:
            return
        node = self._model.forest.at(*key)
        while node is not None:
            for index, row in enumerate(self._rows):
                if row is node:
                    self.cursor = index
                    return
            node = node.parent

    @override
    def move_to(self, index: int) -> None:
        super().move_to(index)
        node = self.selected
        self._selected = node.key if node is not None else None

    @override
    def count(self) -> int:
        return len(self._rows)

    # -- drawing

    @override
    def draw(self, index: int, width: int) -> list[tuple[str, Style | None]]:
        node = self._rows[index]
        row = node.row
        wide = width >= WIDE
        room = width - STATE_WIDTH - HOST_WIDTH - AGE_WIDTH - (KIND_WIDTH if wide else 0)
        mark = " " if not node.children else ("▾" if node.open or self.filter.active else "▸")
        now_s = self._clock()
        lost_s = self._model.lost_for(node, now_s)
        if lost_s is not None:
            state, look = f"✖ lost {wording.age(lost_s)}", "bad"
        else:
            glyph, look = _state_look(node)
            state = f"{glyph} {wording.state(row)}"
        fitted = wording.fitted
        faint = self.look("faint")
        name = f"{'  ' * node.depth}{mark} {row.name}"
        return [
            (
                fitted(f"{name}: {row.status}" if wide and row.status else name, room - 1) + " ",
                None,
            ),
            *([(fitted(row.kind, KIND_WIDTH - 1) + " ", faint)] if wide else []),
            (fitted(state, STATE_WIDTH - 1) + " ", self.look(look)),
            (fitted(self._host(node), HOST_WIDTH - 1) + " ", faint),
            (wording.age(now_s - node.since_s).rjust(AGE_WIDTH - 1) + " ", None),
        ]

    def _host(self, node: Node) -> str:
        """Name the host where it differs from the parent's."""
        parent = node.parent
        if parent is not None and parent.row.ident.daemon == node.row.ident.daemon:
            return ""
        view = self._model.host_of(node)
        if view is not None and view.daemon == node.row.ident.daemon:
            return view.label
        return node.row.address

    # -- folding

    def _refold(self) -> None:
        self._folds += 1
        self.update()

    def action_fold(self) -> None:
        """Fold the component, or go to its parent where there is nothing to fold."""
        node = self.selected
        if node is None:
            return
        if node.open and node.children and not self.filter.active:
            node.open = False
            self._refold()
        elif node.parent is not None:
            self.move_to(self._rows.index(node.parent))

    def action_unfold(self) -> None:
        """Unfold the component, or go to its first part where it is unfolded."""
        node = self.selected
        if node is None or not node.children:
            return
        if node.open or self.filter.active:
            self.move_to(self.cursor + 1)
        else:
            node.open = True
            self._refold()

    def action_turn(self) -> None:
        """Fold or unfold the component."""
        node = self.selected
        if node is not None and node.children:
            node.open = not node.open
            self._refold()

    def action_fold_all(self) -> None:
        """Fold everything."""
        self._fold_all(shut=True)

    def action_unfold_all(self) -> None:
        """Unfold everything."""
        self._fold_all(shut=False)

    def _fold_all(self, *, shut: bool) -> None:
        for node in self._model.forest.walk():
            node.open = not shut
        self._refold()


def _state_look(node: Node) -> tuple[str, str]:
    """Return the glyph and the style of a component's state."""
    row = node.row
    if row.good is False:
        return "!", "bad"
    if row.state in ENDED or row.state == "lost":
        return "✖", "bad"
    if row.state == "started" and row.ready:
        return "●", "good"
    return "◌", "busy"
