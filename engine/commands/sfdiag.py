"""`sfdiag`: a daemon's report about itself."""

from __future__ import annotations

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host")
@click.argument("name", required=False)
@click.option("--hypervisor", is_flag=True, help="List what its hypervisors really hold.")
@shared()
def main(host: str, name: str | None, *, hypervisor: bool, front: Front) -> None:
    """Show what the daemon at HOST knows about itself and is doing.

    Settings and where each comes from, versions, certificates, peers and when they were seen last,
    threads, pools, queues, slow hooks, the ledger, and what is still to be undone. With NAME: what is
    about that component and all below it, from every host that holds a part of it. With --hypervisor
    the daemon asks the hypervisors themselves, without reading its ledger: what is listed is what is
    there, whoever made it.
    """
    from engine.commands import _looking, _reporting

    client = front.reach(host)
    if hypervisor:
        front.give(_looking.found(client))
    elif name is None:
        front.give(_reporting.diagnosis(client))
    else:
        front.give(_reporting.diagnosis_of(client, name, front.client))
