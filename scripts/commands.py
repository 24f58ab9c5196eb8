"""Writes docs/commands-reference.md from the commands: usage, every option, what it does.

python scripts/commands.py           writes the page
python scripts/commands.py --check   says whether it is as it would be written
"""

import importlib
import inspect
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "commands-reference.md"
HEAD = """# Reference of the commands

Generated from the commands by `python scripts/commands.py`; [commands.md](commands.md) has what they
have in common: exit codes, JSON, asking again. These options are those of every command that
goes to a daemon and are not repeated (commands that make or end something wait 600 seconds):

"""
SHARED = {
    "port", "timeout", "as_json", "quiet", "verbose", "cert", "key", "ca", "insecure", "request_id",
    "version",
}  # fmt: skip


def commands() -> Iterator[tuple[str, list[str], click.Command]]:
    """Give each command of the engine with its other names."""
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    for name, place in sorted(scripts.items()):
        if name != name.lower() or not place.startswith("engine."):
            continue
        module, _, attribute = place.partition(":")
        others = [each for each, at in scripts.items() if at == place and each != name]
        yield name, others, getattr(importlib.import_module(module), attribute)


def text() -> str:
    found = list(commands())
    ping = next(command for name, _, command in found if name == "sfping")
    options = [each for each in ping.params if each.name in SHARED]
    parts = [HEAD + _options(ping, options)]
    parts.extend(_section(name, others, command) for name, others, command in found)
    return "\n".join(parts)


def _section(name: str, others: list[str], command: click.Command) -> str:
    also = f" (also `{'`, `'.join(others)}`)" if others else ""
    if isinstance(command, click.Group):
        inner = [
            _body(f"{name} {each}", command.commands[each], "###") for each in command.commands
        ]
        return "\n".join([f"## `{name}`{also}\n\n{_prose(command)}", *inner])
    return _body(name, command, "##", also)


def _body(name: str, command: click.Command, level: str, also: str = "") -> str:
    context = click.Context(command, info_name=name)
    goes = any(each.name == "port" for each in command.params) and "request_id" in {
        each.name for each in command.params
    }
    own = [
        each
        for each in command.params
        if isinstance(each, click.Option) and not (goes and each.name in SHARED)
    ]
    usage = " ".join(command.collect_usage_pieces(context))
    options = f"\n{_options(command, own)}" if own else ""
    return f"{level} `{name}`{also}\n\n    {name} {usage}\n\n{_prose(command)}{options}"


def _prose(command: click.Command) -> str:
    paragraphs = inspect.cleandoc(command.help or "").split("\n\n")
    if command.epilog:
        paragraphs.append(command.epilog)
    return "\n\n".join(paragraphs) + "\n"


def _options(command: click.Command, options: list[click.Option]) -> str:
    context = click.Context(command)
    rows = [record for each in options if (record := each.get_help_record(context))]
    lines = ["| option | does |", "|---|---|"]
    for words, help_ in rows:
        escaped = help_.replace("|", "\\|")
        lines.append(f"| `{words.replace('|', chr(92) + '|')}` | {' '.join(escaped.split())} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    if "--check" in sys.argv:
        stale = not PAGE.exists() or PAGE.read_text("utf-8") != text()
        if stale:
            print(f"{PAGE.name} is stale: run python scripts/commands.py", file=sys.stderr)
        return int(stale)
    PAGE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
