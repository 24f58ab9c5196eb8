"""The question before anything is ended."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static
from typing_extensions import override

from tui.consequences import Consequences


class Confirm(ModalScreen[str | None]):
    """Shows what will end; gives the reason if that is wished, nothing if not."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "confirm", "terminate", key_display="y/Enter"),
        Binding("n,escape", "leave", "leave it", key_display="n/Esc"),
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
            yield Footer()

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

    def on_mount(self) -> None:
        """Begin without a field in focus, so that the keys are answers."""
        self.query_one("#reason", Input).display = False
        self.set_focus(None)
