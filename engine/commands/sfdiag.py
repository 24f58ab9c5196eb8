"""`sfdiag`: a daemon's report about itself."""

from __future__ import annotations

import click

from engine.client.client import Client
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
    client = Client(front.address(host), timeout_s=front.timeout_s)
    client.hello()
    report = client.diagnosis(services=hypervisor)
    if hypervisor:
        rows = [{"service": service, **dict(row)} for service, row in report.found]
        lines = ["  ".join(f"{key}={value}" for key, value in row.items()) for row in rows]
        front.result(rows, "\n".join(lines) or "no hypervisor in use")
        return
    width = max(len(name) for name, _ in report.facts)
    text = "\n".join(f"{name:<{width}}  {value}" for name, value in report.facts)
    front.result(dict(report.facts), text)
