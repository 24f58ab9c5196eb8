"""`sfdiag`: a daemon's report about itself."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.option("--hypervisor", is_flag=True, help="List what its hypervisors really hold.")
@shared()
def main(host: str, *, hypervisor: bool, front: Front) -> None:
    """Show versions, counts, what is pending and how big things are in the daemon at HOST.

    With --hypervisor the daemon asks the hypervisors themselves, without reading its ledger: what is
    listed is what is there, whoever made it.
    """
    from engine.commands import _looking

    client = front.reach(host)
    front.give(_looking.found(client) if hypervisor else _looking.diagnosis(client))
