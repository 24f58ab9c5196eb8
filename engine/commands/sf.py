"""`sf`: several things in one command, in the action syntax."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.commands._front import Command, Front, shared

if TYPE_CHECKING:
    from engine.commands._acting import Done
    from engine.commands._actions import Action

EPILOG = """ACTION is one of DEPLOY, DEPLOYWAIT, LOAD, TERMINATE, DETACH, DETaTERM, UPDATE, PING, DUMP,
LIST, DIAGNOSTICS, PARSE, PLAN, STATUS, CALL. Empty fields are allowed, the last ones may be left out; a
field that holds a colon is quoted; HOST may be a list such as [node7,node8]. An example:
sf pool:DEPLOY:pool.sf::node7 pool:STATUS:::node7"""


@click.command(cls=Command, epilog=EPILOG)
@click.argument("actions", nargs=-1, metavar="NAME:ACTION:SFREF:SUBREF:HOST:PROCESS...")
@click.option("-a", "--action", "more", multiple=True, help="An action, after those without -a.")
@click.option("-f", "--file", type=click.Path(path_type=Path),
              help="Actions, one a line, after those; # and // begin comments.")  # fmt: skip
@click.option("-t", "--terminate", is_flag=True,
              help="If one DEPLOY fails, end those that succeeded, newest first.")  # fmt: skip
@click.option("-e", "--exit", is_flag=True, expose_value=False,
              help="Exit afterwards; it always does.")  # fmt: skip
@click.option("-j", "--together", is_flag=True, help="Act on the hosts of a list all at once.")
@shared(timeout_s=600.0)
def main(
    actions: tuple[str, ...], more: tuple[str, ...], file: Path | None, *, terminate: bool,
    together: bool, front: Front,
) -> None:  # fmt: skip
    """Carry out actions, one after the other; each prints a line that says how it went.

    The exit code is that of the first that failed.
    """
    todo = _read([*actions, *more], file)
    if not todo:
        raise click.UsageError("no actions: sf NAME:ACTION:SFREF:SUBREF:HOST:PROCESS...")

    from engine.commands import _acting
    from engine.commands._exit import Exit

    code = Exit.DONE
    deployed: list[Done] = []
    for action in todo:
        failed = False
        try:
            for done in _acting.carry_out(front, action, together=together):
                _tell(front, done)
                code = code or done.code
                if done.deployed:
                    deployed.append(done)
                failed |= done.failed_to_deploy
        except KeyboardInterrupt:
            if terminate:
                _take_back(front, deployed)
            raise
        if terminate and failed:
            _take_back(front, deployed)
            break
    sys.exit(code)


def _take_back(front: Front, deployed: list[Done]) -> None:
    """End what this run has deployed."""
    from engine.commands import _acting

    for done in _acting.undo(front, deployed):
        _tell(front, done)


def _read(texts: list[str], file: Path | None) -> list[Action]:
    from engine.commands import _actions

    try:
        found = [_actions.parse(text) for text in texts]
        if file is not None:
            found.extend(_actions.parse_lines(file.read_text("utf-8").splitlines()))
    except _actions.ActionError as error:
        raise click.UsageError(error.message) from error
    except (OSError, UnicodeDecodeError) as error:
        raise click.BadParameter(f"{file}: {error}", param_hint="--file") from error
    return found


def _tell(front: Front, done: Done) -> None:
    if not front.as_json:
        if done.outcome is not None and done.outcome.text and not front.quiet:
            click.echo(done.outcome.text)
        click.echo(done.line)
        return
    data = {
        "action": done.action.verb.value, "name": done.action.name, "host": done.host,
        "problem": done.problem, "result": done.outcome.data if done.outcome else None,
    }  # fmt: skip
    front.result(data, "", done.code)
