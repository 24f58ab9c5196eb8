"""`sfdaemon`: run a daemon in the foreground."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from engine.commands._exit import Exit, exit_of
from engine.commands._front import Command


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
@click.option("--bind", help="Addresses to listen at.  [default: loopback; all with --cert]")
@click.option("--advertise", help="Name others reach it by.  [default: first of its certificate]")
@click.option("--cert", help="Certificate of this daemon.  [default: of the local community]")
@click.option("--key", help="Its key.")
@click.option("--ca", help="Certificate of the authority believed.")
@click.option("--crl", help="Revocation list.  [default: crl.pem beside --ca]")
@click.option("--insecure", is_flag=True, default=None, help="No TLS: anybody may do anything.")
@click.option("--node", help="Name of this host among hosts.")
@click.option("--peer", "peers", multiple=True, metavar="NAME=HOST:PORT", help="Where a host is.")
@click.option("--domain", help="DNS domain whose _smartdomains._tcp records name further hosts.")
@click.option("--multicast", is_flag=True, default=None,
              help="Announce this daemon on the local link, and find those who do.")  # fmt: skip
@click.option("--state-dir", type=click.Path(path_type=Path), help="Folder for ledger and work.")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file, TOML.")
@click.option("--default", "defaults", multiple=True, metavar="DESCRIPTION",
              help="Make this real before it is ready, unless it runs already.")  # fmt: skip
@click.option("--maintenance", is_flag=True, default=None, help="Take no new work: sfdrain --end.")
@click.option("--metrics", metavar="ADDRESS", help="Answer Prometheus there.  [default: nowhere]")
@click.option("-v", "--verbose", count=True, help="Log more.")
def main(
    port: int | None, bind: str | None, advertise: str | None, cert: str | None, key: str | None,
    ca: str | None, crl: str | None, node: str | None, peers: tuple[str, ...],
    state_dir: Path | None, config: Path | None, verbose: int, *, insecure: bool | None,
    defaults: tuple[str, ...], maintenance: bool | None, metrics: str | None, domain: str | None,
    multicast: bool | None,
) -> None:  # fmt: skip
    """Run a daemon: it takes descriptions, makes them real and keeps them alive.

    SIGTERM leaves virtual machines running and takes them up again at the next start; `sfstop` ends
    everything first.
    """
    import logging

    from engine.core.faults import EngineError
    from engine.core.tracing import Stamp
    from engine.settings import SettingsError, load

    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    form = "%(asctime)s %(levelname)s %(name)s %(message)s%(traced)s"
    logging.basicConfig(level=level, format=form)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Stamp())
    options = {
        "port": port, "bind": bind, "advertise": advertise, "cert": cert, "key": key, "ca": ca,
        "crl": crl, "metrics": metrics, "insecure": insecure or None, "node": node,
        "peers": _pairs(peers), "domain": domain, "multicast": multicast or None,
        "state_dir": str(state_dir.absolute()) if state_dir else None,
        "defaults": defaults or None, "maintenance": maintenance or None,
    }  # fmt: skip
    try:
        settings = load(config, options=options)
    except SettingsError as error:
        click.echo(f"sfdaemon: error: {error.message}", err=True)
        sys.exit(Exit.USAGE)
    if settings.insecure:
        click.echo("sfdaemon: warning: no TLS: whoever reaches the port may do anything", err=True)
    from engine.daemon import main as run

    try:
        run(settings)
    except EngineError as error:
        click.echo(f"sfdaemon: error {error.fault.code}: {error.fault.message}", err=True)
        if error.fault.hint:
            click.echo(f"   help        {error.fault.hint}", err=True)
        sys.exit(Exit.USAGE if error.fault.code == "SF-SEC-010" else exit_of(error.fault))
