"""`sftui`: the terminal console."""

from __future__ import annotations

import click

from engine.commands._front import set_up
from engine.core.addresses import address_of
from engine.core.faults import Refused


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's form
    if value:
        from importlib.metadata import version  # noqa: PLC0415 - rarely needed

        click.echo(f"{ctx.info_name} {version('smartdomains')}")
        ctx.exit()


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@click.option("-p", "--port", default=3800, show_default=True, help="Port of the daemons.")
@click.option("--cert", default="", help="Your certificate, PEM.  [default: found by itself]")
@click.option("--key", default="", help="Its key.")
@click.option("--ca", default="", help="Certificate of the authority believed.")
@click.option("--insecure", is_flag=True, help="The daemons run without TLS.")
@click.option(
    "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True,
    help="Show the version.",
)  # fmt: skip
def main(
    hosts: tuple[str, ...], cert: str, key: str, ca: str, *, port: int, insecure: bool
) -> None:
    """Show what runs on each HOST (localhost if none is named) as a live tree, and end parts of it.

    A HOST is a name or an address, also with :port. `?` lists the keys, `q` ends. The environment
    variable NO_COLOR is obeyed.
    """
    set_up(cert=cert, key=key, ca=ca, insecure="1" if insecure else "")
    try:
        addresses = [address_of(host, port) for host in hosts or ("localhost",)]
    except Refused as error:
        raise click.BadParameter(f"{error}; {error.fault.hint}", param_hint="HOST") from error
    from tui.app import ConsoleApp  # noqa: PLC0415 - Textual is slow to import

    app = ConsoleApp(addresses)
    app.housekeeping.begin()
    app.run()
