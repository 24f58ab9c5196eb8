"""`scripts/lab`: a lab by hand. Exit codes are those of all commands; `run` and `sf` pass on theirs."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import click
import msgspec
from typing_extensions import override

from components.testbed.lab.faults import Slow
from components.testbed.lab.host import LabHost, Service
from components.testbed.lab.lab import MOST_XEN_HOSTS, Lab, need_root
from components.testbed.lab.machine import FABRIC
from components.testbed.lab.picture import network, table
from components.testbed.lab.store import LabError, LabExistsError, NoSuchLabError
from components.testbed.tools import MissingToolError, ToolFailedError, tool
from engine.commands._exit import Exit

P = ParamSpec("P")
_AS_TYPED = {
    "ignore_unknown_options": True,
    "allow_interspersed_args": False,
    "help_option_names": [],
}
_CODES: dict[type[Exception], Exit] = {
    PermissionError: Exit.NOT_ALLOWED,
    ValueError: Exit.USAGE,
    NoSuchLabError: Exit.NO_SUCH,
    LabExistsError: Exit.NAME_IN_USE,
}
_POOL = "descriptions/examples/labPool.sf"


class _Lab(click.Group):
    """Takes `scripts/lab 3` for `scripts/lab up 3`."""

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return super().resolve_command(ctx, ["up", *args] if args[0].isdigit() else args)


@click.group(cls=_Lab, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--name", default="default", envvar="SMARTDOMAINS_LAB", show_default=True, help="Which lab."
)
@click.pass_context
def main(ctx: click.Context, name: str) -> None:
    """Hosts in network namespaces of this machine, to play with and to break.

    scripts/lab 3 makes three hosts, h1 to h3, each with its own daemon; scripts/lab down ends them.
    """
    ctx.obj = name


def _guarded(function: Callable[P, None]) -> Callable[P, None]:
    """Turn failures into words and exit codes."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            need_root()
            function(*args, **kwargs)
        except (LabError, ToolFailedError, MissingToolError, PermissionError, ValueError) as error:
            code = next(
                (code for kind, code in _CODES.items() if isinstance(error, kind)), Exit.FAILED
            )
            _fail(str(error), code)
        except KeyboardInterrupt:
            _fail("interrupted", Exit.INTERRUPTED)

    return run


def _fail(text: str, code: Exit) -> NoReturn:
    click.echo(f"lab: error: {text}", err=True)
    sys.exit(code)


@main.command()
@click.argument("hosts", type=click.IntRange(1, 32), default=3)
@click.option(
    "--libvirt/--no-libvirt", default=False, help="A libvirtd on each host, for QEMU guests."
)
@click.option(
    "--xen", type=click.IntRange(0, MOST_XEN_HOSTS), default=0, metavar="N",
    help="N Xen hosts besides, emulated, x1 and x2; they take half a minute to boot.",
)  # fmt: skip
@click.pass_obj
@_guarded
def up(name: str, hosts: int, libvirt: bool, xen: int) -> None:  # noqa: FBT001 - click's form
    """Make HOSTS hosts and wait until their daemons are ready."""
    began = time.monotonic()
    lab = Lab(hosts, name=name, libvirt=libvirt, xen=xen)
    lab.up()
    names = [host.name for host in lab]
    kind = "each with a daemon and a libvirtd" if libvirt else "each with a daemon"
    kind += f", {xen} of them with Xen" if xen else ""
    click.echo(f"lab {name}: {len(names)} hosts, {kind}, up in {time.monotonic() - began:.1f} s\n")
    click.echo(f"{network(names)}\n\n{table(lab.status())}")
    click.echo(f"\nTry next:\n{_next_steps(names)}")


def _next_steps(names: list[str]) -> str:
    """Write a few commands worth trying, each with what it does."""
    steps = [(f"sf sftui {' '.join(names[:3])}", "look at it, live; q leaves")]
    if len(names) > 1:
        steps = [
            (f"sf sfstart h1 pool {_POOL}", "one application over h1 and h2"),
            *steps,
            ("crash h2", "pull a plug, and look again: the rest ends, too"),
        ]
    steps += [("--help", "all else that can go wrong here"), ("down", "leave nothing")]
    wide = max(len(step) for step, _ in steps)
    return "\n".join(f"  scripts/lab {step:<{wide}}  # {words}" for step, words in steps)


@main.command()
@click.option("--keep-logs", is_flag=True, help="Leave the logs where they are.")
@click.pass_obj
@_guarded
def down(name: str, keep_logs: bool) -> None:  # noqa: FBT001 - click's form
    """End the lab, whatever is left of it, and leave nothing."""
    lab = Lab(name=name)
    there = lab.folder.exists()
    lab.down(keep_logs=keep_logs)
    logs = f"; logs are in {lab.folder}" if keep_logs and there else ""
    click.echo(f"lab {name} is down{logs}" if there else f"there was no lab {name}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_obj
@_guarded
def status(name: str, as_json: bool) -> None:  # noqa: FBT001 - click's form
    """Show how all hosts are."""
    facts = Lab.open(name).status()
    if as_json:
        data = {"ok": True, "code": 0, "result": {"lab": name, "hosts": facts}}
        click.echo(msgspec.json.encode(data).decode())
    else:
        click.echo(table(facts))


def _host(name: str, host: str) -> LabHost:
    lab = Lab.open(name)
    return lab.fabric if host == FABRIC else lab[host]


def _become(argv: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(argv[0], argv)  # noqa: S606 - a list, no shell


@main.command(context_settings=_AS_TYPED)
@click.argument("host")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
@_guarded
def run(name: str, host: str, command: tuple[str, ...]) -> None:
    """Run COMMAND on HOST; its exit code is ours."""
    _become(_host(name, host).command(command))


@main.command(context_settings=_AS_TYPED)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.pass_obj
@_guarded
def sf(name: str, command: tuple[str, ...]) -> None:
    """Run COMMAND where it reaches all hosts by name: scripts/lab sf sfping h1."""
    _become(Lab.open(name).fabric.command(command))


@main.command()
@click.argument("host")
@click.pass_obj
@_guarded
def shell(name: str, host: str) -> None:
    """Open a shell on HOST."""
    at = _host(name, host)
    if not at.interactive:
        raise LabError(f"{host} takes one command at a time: scripts/lab run {host} COMMAND")
    _become(at.command([os.environ.get("SHELL") or tool("bash")]))


@main.command()
@click.argument("host")
@click.pass_obj
@_guarded
def crash(name: str, host: str) -> None:
    """Cut the power of HOST."""
    _host(name, host).crash()


@main.command()
@click.argument("host")
@click.pass_obj
@_guarded
def boot(name: str, host: str) -> None:
    """Switch HOST on again."""
    _host(name, host).start()


@main.command()
@click.argument("host")
@click.option(
    "--all", "everything", is_flag=True, help="Everything in the host, not its daemon only."
)
@click.pass_obj
@_guarded
def freeze(name: str, host: str, everything: bool) -> None:  # noqa: FBT001 - click's form
    """Let the daemon of HOST hang."""
    Lab.open(name)[host].freeze(everything=everything)


@main.command()
@click.argument("host")
@click.pass_obj
@_guarded
def thaw(name: str, host: str) -> None:
    """Let go on whatever hangs on HOST."""
    Lab.open(name)[host].thaw()


@main.command()
@click.argument("host")
@click.argument("service", type=click.Choice(["daemon", "libvirtd"]))
@click.option("--hold", is_flag=True, help="It stays down until HOST is healed.")
@click.pass_obj
@_guarded
def kill(name: str, host: str, service: Service, hold: bool) -> None:  # noqa: FBT001 - click's form
    """Kill a SERVICE of HOST; the host starts it again."""
    Lab.open(name)[host].kill(service, hold=hold)


@main.command()
@click.argument("a")
@click.argument("b")
@click.option("--one-way", is_flag=True, help="Only what A sends to B is lost.")
@click.pass_obj
@_guarded
def cut(name: str, a: str, b: str, one_way: bool) -> None:  # noqa: FBT001 - click's form
    """Cut the network between hosts A and B."""
    Lab.open(name).cut(a, b, one_way=one_way)


@main.command()
@click.argument("host")
@click.pass_obj
@_guarded
def isolate(name: str, host: str) -> None:
    """Cut the network between HOST and everybody."""
    Lab.open(name).isolate(host)


@main.command()
@click.argument("host")
@click.option("--delay", default=0.0, metavar="MS", help="Milliseconds later, each way.")
@click.option("--loss", default=0.0, metavar="P", help="Part of the frames that is lost, 0 to 1.")
@click.option("--duplicate", default=0.0, metavar="P", help="Part that arrives twice, 0 to 1.")
@click.pass_obj
@_guarded
def slow(name: str, host: str, delay: float, loss: float, duplicate: float) -> None:
    """Give HOST a bad line; it takes the place of an earlier one."""
    Lab.open(name).slow(host, Slow(delay, loss, duplicate))


@main.command()
@click.argument("host", default="")
@click.pass_obj
@_guarded
def heal(name: str, host: str) -> None:
    """Take away all faults of HOST or of all hosts; what is off stays off."""
    lab = Lab.open(name)
    lab.heal(host)
    off = [each.name for each in lab if not each.on]
    if off:
        click.echo(f"off: {', '.join(off)}; switch on with: scripts/lab boot {off[0]}", err=True)


@main.command()
@click.argument("host")
@click.option("-f", "--follow", is_flag=True, help="Go on as they grow.")
@click.pass_obj
@_guarded
def logs(name: str, host: str, follow: bool) -> None:  # noqa: FBT001 - click's form
    """Show the logs of HOST."""
    paths = [str(path) for path in _host(name, host).logs()]
    if paths:
        _become([tool("tail"), "-n", "+1", *(["-F"] if follow else []), "--", *paths])
