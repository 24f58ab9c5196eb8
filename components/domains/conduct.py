"""What a description may not want of a guest's conduct all at once; pure."""

from __future__ import annotations

from components.domains.described import Conducted
from engine.core.faults import BadDescription


def check_sizes(domain: Conducted) -> None:
    """Refuse limits of memory and processors that contradict what it is given at boot.

    Raises:
        BadDescription: The text names the attributes.
    """
    for wrong, text in (
        (domain.min_memory is not None and domain.min_memory > domain.memory,
         f"minMemory {domain.min_memory} is more than memory, {domain.memory} bytes"),
        (domain.max_memory is not None and domain.max_memory < domain.memory,
         f"maxMemory {domain.max_memory} is less than memory, {domain.memory} bytes"),
        (domain.max_vcpus is not None and domain.max_vcpus < domain.vcpus,
         f"maxVcpus {domain.max_vcpus} is less than vcpus, {domain.vcpus}"),
    ):  # fmt: skip
        if wrong:
            raise BadDescription(text, code="SF-DOM-020", where=domain.path)


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
