"""The question before anything is ended."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static
from typing_extensions import override

from tui.consequences import Consequences

KEYS = "y or Enter: terminate    n or Esc: leave it    r: give a reason"


class Confirm(ModalScreen[str | None]):
    """Shows what will end; gives the reason if that is wished, nothing if not."""

    AUTO_FOCUS: ClassVar[str | None] = ""  # a field in focus would take the answer for text
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "confirm", "terminate"),
        Binding("n,escape", "leave", "leave it"),
        Binding("r", "reason", "give a reason"),
    ]

    def __init__(self, what: Consequences, *, abnormal: bool, reason: str) -> None:
        """Take what would end, how, and the reason to be given unless the user writes another."""
        super().__init__()
        self._what = what
        self._abnormal = abnormal
        self._reason = reason

    @override
    def compose(self) -> ComposeResult:
        how = "Terminate as failed" if self._abnormal else "Terminate"
        with Vertical(id="question"):
            yield Static(f"{how}: {self._what.path} ({self._what.kind})?", markup=False, id="what")
            yield Static("\n".join(self._what.sentences()), markup=False, id="consequences")
            yield Input(self._reason, id="reason")
            yield Static(KEYS, markup=False, id="answers")

    def action_confirm(self) -> None:
        """Do it."""
        self.dismiss(self._reason)

    def action_leave(self) -> None:
        """Leave everything as it is."""
        self.dismiss(None)

    def action_reason(self) -> None:
        """Let the user write a reason; Enter there confirms."""
        field = self.query_one("#reason", Input)
        field.display = True
        field.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip() or self._reason)
