"""One line about the daemons: how each stands, and how old what is known of it is."""

from __future__ import annotations

from rich.text import Text

from tui import wording
from tui.hosts import HostView, Reach

GLYPHS = {Reach.CONNECTING: "◌", Reach.LIVE: "●", Reach.LOST: "✖", Reach.SAME: "="}
SLOW_S = 3.0


def describe(view: HostView, now_s: float) -> str:
    """Write one daemon.

    Example:
        >>> describe(HostView("a:1", listed=True, reach=Reach.LIVE, name="one", heard_s=5.0), 9.5)
        '● one silent 4s, 0 components'
        >>> describe(HostView("a:1", listed=True, name="one", insecure=True), 0.0)
        '◌ one INSECURE connecting'
    """
    plain = " INSECURE" if view.insecure else ""
    return f"{GLYPHS[view.reach]} {view.label}{plain} {_standing(view, view.age_s(now_s))}"


def _standing(view: HostView, age_s: float | None) -> str:
    match view.reach:
        case Reach.CONNECTING:
            return "connecting"
        case Reach.SAME:
            return f"is {view.why}"
        case Reach.LOST:
            since = "never reached" if age_s is None else f"lost, data {wording.age(age_s)} old"
            return f"{since}: {view.why}"
        case Reach.LIVE:
            quiet = age_s is not None and age_s >= SLOW_S
            word = f"silent {wording.age(age_s or 0)}" if quiet else "live"
            return f"{word}, {wording.count(view.components, 'component')}"


def bar(views: list[HostView], now_s: float) -> Text:
    """Write all daemons; lost ones first, since the line may be too short for all."""
    order = sorted(views, key=lambda view: view.reach is not Reach.LOST)
    styles = {Reach.LOST: "bold", Reach.LIVE: "", Reach.CONNECTING: "dim", Reach.SAME: "dim"}
    parts = [Text(describe(view, now_s), styles[view.reach]) for view in order]
    return Text("  │  ").join(parts)
