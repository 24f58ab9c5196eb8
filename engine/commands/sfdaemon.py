"""`sfdaemon`: run a daemon in the foreground."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from engine.commands._exit import Exit
from engine.commands._front import Command
from engine.core.faults import EngineError
from engine.settings import SettingsError, load


def _pairs(texts: tuple[str, ...]) -> dict[str, str] | None:
    pairs = {}
    for text in texts:
        name, found, address = text.partition("=")
        if not found or not name or not address:
            raise click.BadParameter(f"{text!r} is not NAME=HOST:PORT", param_hint="--peer")
        pairs[name] = address
    return pairs or None


@click.command(cls=Command)
@click.option("-p", "--port", type=click.IntRange(1, 65535), help="TCP port.  [default: 3800]")
@click.option("--bind", help="Address to listen at, loopback only.  [default: 127.0.0.1]")
@click.option("--node", help="Name of this host among hosts.")
@click.option("--peer", "peers", multiple=True, metavar="NAME=HOST:PORT", help="Where a host is.")
@click.option("--state-dir", type=click.Path(path_type=Path), help="Folder for ledger and work.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file, TOML.")
@click.option("-v", "--verbose", count=True, help="Log more.")
def main(
    port: int | None, bind: str | None, node: str | None, peers: tuple[str, ...],
    state_dir: Path | None, config: Path | None, verbose: int,
) -> None:  # fmt: skip
    """Run a daemon: it takes descriptions, makes them real and keeps them alive.

    SIGTERM leaves virtual machines running and takes them up again at the next start; `sfstop` ends
    everything first.
    """
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    options = {
        "port": port, "bind": bind, "node": node, "peers": _pairs(peers),
        "state_dir": str(state_dir.absolute()) if state_dir else None,
    }  # fmt: skip
    try:
        settings = load(config, options=options)
    except SettingsError as error:
        click.echo(f"sfdaemon: error: {error.message}", err=True)
        sys.exit(Exit.USAGE)
    if settings.bind not in {"127.0.0.1", "::1", "localhost"}:
        click.echo(
            f"sfdaemon: error: {settings.bind} is not loopback; without certificates a daemon "
            "listens on loopback only",
            err=True,
        )
        sys.exit(Exit.USAGE)
    from engine.daemon import main as run  # noqa: PLC0415 - only when it runs

    try:
        run(settings)
    except EngineError as error:
        click.echo(f"sfdaemon: error {error.fault.code}: {error.fault.message}", err=True)
        if error.fault.hint:
            click.echo(f"   help        {error.fault.hint}", err=True)
        sys.exit(Exit.FAILED)
