"""What a machine opens for people far away: its console, and what that has shown so far."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from components.domains.console import Shown, Typed
from components.hypervisor.errors import HypervisorError
from engine.core.faults import Refused
from engine.runtime.channels import Duplex

if TYPE_CHECKING:
    from components.domains.domain import Domain


async def open_console(domain: Domain) -> Duplex:
    """Open the guest's console.

    Raises:
        Refused: It is not running, or its hypervisor shows none.
    """
    try:
        hypervisor = await domain.hypervisor()
        facts = await hypervisor.fact(domain.uuid)
        if facts is None or not facts.active:
            raise Refused("the guest is not running", code="SF-CON-001", where=domain.path)
        return Typed(await hypervisor.console(domain.uuid), domain.path)
    except HypervisorError as error:
        what = f"there is no console at {domain.uri}"
        text = what if error.kind == "Unsupported" else f"its console: {error.message}"
        raise Refused(
            text, code="SF-CON-001", where=domain.path,
            hint="sfconsole --log shows what it has shown so far",
        ) from error  # fmt: skip


async def open_log(domain: Domain) -> Duplex:
    """Open what its console has shown.

    Raises:
        Refused: It cannot be read.
    """
    path = domain.live.value("consolePath")
    try:
        if not isinstance(path, str):
            raise FileNotFoundError("it has none yet")
        return Shown(await domain.run_blocking(Path(path).open, "rb"), domain.path)
    except OSError as error:
        raise Refused(
            f"its console log cannot be read: {error}", code="SF-CON-001", where=domain.path
        ) from error
