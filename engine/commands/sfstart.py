"""`sfstart`: make a description real."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import msgspec

from engine.client.client import Client
from engine.commands._exit import Exit, exit_of
from engine.commands._front import Command, Front, override, shared
from engine.commands._progress import wait
from engine.core.diff import diff
from engine.wire.messages import Plan
from sfdl.values import Description


@click.command(cls=Command)
@click.argument("host")
@click.argument("name")
@click.argument("description", type=click.Path(path_type=Path))
@click.option("-I", "--include", "folders", multiple=True, type=click.Path(path_type=Path),
              help="Also look for included files here.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="REF=VALUE",
              help="Set an attribute below sfConfig.")  # fmt: skip
@click.option("--plan", is_flag=True, help="Only ask HOST what would be made, and what is wrong.")
@click.option(
    "--expect", default="", metavar="DIGEST", help="Refuse unless the plan is still this."
)
@click.option("--signature", type=click.Path(path_type=Path), metavar="FILE",
              help="Send this signature of the description along (sfca sign).")  # fmt: skip
@click.option("--show", is_flag=True, help="Only show what would be made; contact nobody.")
@shared(timeout_s=600.0)
def main(
    host: str, name: str, description: Path, folders: tuple[Path, ...], settings: tuple[str, ...],
    *, show: bool, plan: bool, expect: str, signature: Path | None, front: Front,
) -> None:  # fmt: skip
    """Compile DESCRIPTION here, and have HOST make it real as the application NAME.

    With an empty NAME the description's own name is taken, or one is made up. The command returns
    when every component on every host has started; if one fails, none is left.
    """
    import sfdl  # noqa: PLC0415 - slow to import, not needed for --help

    began = time.monotonic()
    overrides = [override(text) for text in settings]
    tree = sfdl.compile(description, search_path=folders, overrides=overrides).root
    compiled_ms = round((time.monotonic() - began) * 1000)
    application = name or _own_name(tree)
    if show:
        _show(front, application, tree)
        return
    rows = list(diff(None, tree))
    client = Client(front.address(host), timeout_s=front.timeout_s)
    client.hello()
    if plan:
        _plan(front, application, client.plan(application, tree))
        return
    hosts = {row.host for row in rows if row.host} or {host}
    front.say(f"{application}: {len(rows)} components to make on {', '.join(sorted(hosts))}")
    operation = client.start(
        application, tree, request_id=front.request_id, expect=expect,
        signature=_read(signature) if signature is not None else "", budget_s=front.timeout_s,
    )  # fmt: skip
    grown = wait(front, operation)
    times = "".join(f", {phase} {ms} ms" for phase, ms in grown.times_ms)
    text = (
        f"started {application} on {host}: {grown.components} components on "
        f"{len(grown.hosts)} hosts, compile {compiled_ms} ms{times}"
    )
    data = {
        "name": application, "components": grown.components, "hosts": list(grown.hosts),
        "times_ms": {"compile": compiled_ms, **dict(grown.times_ms)},
    }  # fmt: skip
    front.result(data, text)


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file}: {error}", param_hint="--signature") from error


def _own_name(tree: Description) -> str:
    own = tree.get("sfProcessComponentName")
    return own if isinstance(own, str) and own else f"unnamed_{int(time.time() * 1000)}"


def _show(front: Front, application: str, tree: Description) -> None:
    rows = list(diff(None, tree))
    lines = [f"{application} would be made of {len(rows)} components:"]
    for row in rows:
        depth = row.path.count(":") + 1 if row.path else 0
        label = row.path.rpartition(":")[2] or application
        host = f"  on {row.host}" if row.host else ""
        lines.append(f"  {row.change.value} {'  ' * depth}{label}  {row.type}{host}")
    front.result([msgspec.to_builtins(row) for row in rows], "\n".join(lines))


def _plan(front: Front, application: str, plan: Plan) -> None:
    lines = [f"{application} would be made of {len(plan.rows)} components:"]
    for row in plan.rows:
        depth = row.path.count(":") + 1 if row.path else 0
        label = row.path.rpartition(":")[2] or application
        lines.append(f"  {row.change} {'  ' * depth}{label}  {row.kind}  {row.address}")
    for fault in plan.problems:
        place = "" if fault.message.startswith(fault.where) else f"{fault.where}: "
        lines.append(f"  wrong: {place}{fault.message}")
    lines.append(f"digest {plan.digest}")
    front.result(msgspec.to_builtins(plan), "\n".join(lines))
    if plan.problems:
        codes = [exit_of(fault) for fault in plan.problems]
        sys.exit(Exit.DESCRIPTION if Exit.DESCRIPTION in codes else codes[0])
