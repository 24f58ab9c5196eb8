"""The command `sfdl`: check, print, explain, compare and test descriptions.

Each sub-command is a module of `sfdl.commands` with a function `command`, imported when it is used;
installed distributions add others through the entry-point group `sfdl.commands`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

import click
from typing_extensions import override

_COMMANDS = {
    "check": ("check", "Report everything that is wrong or looks wrong."),
    "diff": ("diff", "Compare two resolved descriptions."),
    "explain": ("explain", "Tell why an attribute has its value."),
    "print": ("show", "Show what a description resolves to."),
    "test": ("cases", "Run test cases for descriptions."),
}


def _added() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group="sfdl.commands")}


class _Commands(click.Group):
    """A group whose members are imported one at a time."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the sub-commands."""
        return [*_COMMANDS, *sorted(_added())]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one sub-command."""
        if cmd_name not in _COMMANDS:
            point = _added().get(cmd_name)
            added: click.Command | None = point.load() if point is not None else None
            return added
        module = import_module(f"sfdl.commands.{_COMMANDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the sub-commands, importing only those that others have added."""
        rows = [(name, words) for name, (_, words) in _COMMANDS.items()]
        for name, point in sorted(_added().items()):
            rows.append((name, point.load().get_short_help_str(limit=70)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="smartdomains")
def main() -> None:
    """Work with component descriptions."""


if __name__ == "__main__":
    main()
