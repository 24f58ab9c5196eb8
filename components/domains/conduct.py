"""What a description may not want of a guest's conduct all at once; pure."""

from __future__ import annotations

from components.domains.described import Conducted
from engine.core.faults import BadDescription


def check_conduct(domain: Conducted) -> None:
    """Refuse what cannot be had of a machine that is not kept defined.

    Raises:
        BadDescription: The text names the attribute.
    """
    if domain.persistent:
        return
    for wrong, text in (
        (domain.autostart, "autostart true"),
        (domain.start_mode in {"defined", "created"}, f'startMode "{domain.start_mode}"'),
        (domain.stop_mode == "save", 'stopMode "save"'),
        (domain.on_daemon_stop == "save", 'onDaemonStop "save"'),
    ):
        if wrong:
            raise BadDescription(
                f"{text} needs a machine that stays defined, and persistent is false",
                code="SF-DOM-010", where=domain.path, hint="say persistent true, or leave it out",
            )  # fmt: skip
