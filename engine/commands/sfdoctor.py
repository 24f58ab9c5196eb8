"""`sfdoctor`: is a machine fit to be a host?"""

from __future__ import annotations

from pathlib import Path

import click

from engine.commands._front import Command, Front, shared


@click.command(cls=Command)
@click.argument("host", required=False)
@click.option(
    "--config", type=click.Path(path_type=Path), help="Settings the daemon here will have."
)
@click.option("--skip", "skipped", multiple=True, metavar="TOPIC", help="Leave out a topic.")
@shared()
def main(host: str | None, *, config: Path | None, skipped: tuple[str, ...], front: Front) -> None:
    """Check this machine before it becomes a host, or the one at HOST, where a daemon runs.

    Versions, programs, rights, /dev/kvm, network, hypervisor, clock, ports, state folder and
    certificates: each with what to do about it. Exit code 1 if something needed is missing.
    """
    from engine.commands import _checking

    findings = _checking.here(config, front.port) if host is None else front.reach(host).checkup()
    front.give(_checking.outcome(_checking.without(findings, skipped), all_=front.verbose))
