"""Writes what is made of the commands: manual pages, and completions for bash, zsh and fish.

scripts/manuals.py            write packaging/man and packaging/completions
scripts/manuals.py --check    say whether they are stale, change nothing
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

ROOT = Path(__file__).parents[1]
PACKAGING = ROOT / "packaging"
SHELLS: tuple[tuple[type[ShellComplete], str, str], ...] = (
    (BashComplete, "smartdomains.bash", "complete -o nosort -F {function} {name}"),
    (ZshComplete, "smartdomains.zsh", "compdef {function} {name}"),
    (FishComplete, "smartdomains.fish",
     'complete --no-files --command {name} --arguments "({function})"'),
)  # fmt: skip
"""Click's own completion of a shell, our file for it, and how another name gets the same one."""

RELATED = ("sfdaemon", "sfdl", "sfdoctor", "sfstart", "sfstatus", "sfterminate")
"""What every page leads to."""

Commands = dict[str, tuple[click.Command, list[str]]]


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def commands() -> Commands:
    """Return every command by its plain name, with its other names."""
    found: Commands = {}
    plain: dict[str, str] = {}
    for name, target in project()["scripts"].items():
        if target in plain:
            found[plain[target]][1].append(name)
            continue
        module, _, attribute = target.partition(":")
        plain[target] = name
        found[name] = (getattr(importlib.import_module(module), attribute), [])
    return dict(sorted(found.items()))


# -- completions


def completions(known: Commands) -> Iterator[tuple[Path, str]]:
    for kind, file, another in SHELLS:
        lines = [
            "# Completion of the commands of smartdomains; written by scripts/manuals.py.",
            f"# Read it at the start of your shell: source {file}",
        ]
        for name, (command, others) in known.items():
            shell = kind(command, {}, name, f"_{name}_COMPLETE".upper())
            lines.append((kind.source_template % shell.source_vars()).strip())
            lines += [another.format(function=shell.func_name, name=each) for each in others]
        yield PACKAGING / "completions" / file, "\n".join(lines) + "\n"


# -- manual pages


def manuals(known: Commands) -> Iterator[tuple[Path, str]]:
    for name, (command, others) in known.items():
        yield PACKAGING / "man" / f"{name}.1", "\n".join(page(name, command, others)) + "\n"


def page(name: str, command: click.Command, others: list[str]) -> Iterator[str]:
    context = click.Context(command, info_name=name)
    first, *rest = paragraphs(command)
    version = project()["version"]
    yield f'.TH {name.upper()} 1 "" "smartdomains {version}" "smartdomains"'
    yield ".SH NAME"
    yield f"{', '.join([name, *others])} \\- {escaped(summary(first))}"
    yield ".SH SYNOPSIS"
    yield f".B {name}"
    yield escaped(" ".join(command.collect_usage_pieces(context)))
    yield ".SH DESCRIPTION"
    yield escaped(first)
    for paragraph in rest:
        yield from (".PP", escaped(paragraph))
    yield from options(command, context, ".SH OPTIONS")
    if isinstance(command, click.Group):
        yield ".SH COMMANDS"
        for word in command.list_commands(context):
            below = command.get_command(context, word)
            if below is not None and not below.hidden:
                yield from subcommand(context, word, below)
    yield ".SH EXIT STATUS"
    for code, meaning in exit_codes():
        yield from (".TP", f".B {code}", escaped(meaning))
    yield ".SH SEE ALSO"
    seen = [each for each in RELATED if each != name]
    yield ",\n".join(f".BR {each} (1)" for each in seen)


def subcommand(above: click.Context, word: str, command: click.Command) -> Iterator[str]:
    context = click.Context(command, info_name=word, parent=above)
    usage = " ".join([above.info_name or "", word, *command.collect_usage_pieces(context)])
    yield f".SS {escaped(usage)}"
    for number, paragraph in enumerate(paragraphs(command)):
        if number:
            yield ".PP"
        yield escaped(paragraph)
    yield from options(command, context, "")


def options(command: click.Command, context: click.Context, title: str) -> Iterator[str]:
    records = [
        record for each in command.get_params(context) if (record := each.get_help_record(context))
    ]
    if records and title:
        yield title
    for names, text in records:
        if not text:
            continue  # an argument: the synopsis names it, the description says what it is
        yield from (".TP", f".B {escaped(names)}", escaped(text))


def paragraphs(command: click.Command) -> list[str]:
    text = inspect.cleandoc(command.help or command.short_help or "")
    parts = [part for part in text.split("\n\n") if part.strip("\b\n ")]
    return [
        part.replace("\b\n", "") if part.startswith("\b") else " ".join(part.split())
        for part in parts
    ] or [command.name or ""]


def summary(paragraph: str) -> str:
    """Return the first sentence as a manual's NAME line wants it: no capital, no full stop."""
    sentence = re.split(r"(?<=[^A-Z.])[.:](?:\s|$)", paragraph, maxsplit=1)[0]
    return sentence[:1].lower() + sentence[1:]


def escaped(text: str) -> str:
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    lines = re.sub(r"`([^`]+)`", r"\\fB\1\\fP", plain).splitlines() or [""]
    return "\n.br\n".join(f"\\&{line}" if line[:1] in {".", "'"} else line for line in lines)


def exit_codes() -> list[tuple[str, str]]:
    text = (ROOT / "docs" / "commands.md").read_text("utf-8").partition("## Exit codes")[2]
    return re.findall(r"^\| (\d+) \| (.*?) \|$", text.partition("\n## ")[0], re.MULTILINE)


def main() -> None:
    known = commands()
    files = dict([*completions(known), *manuals(known)])
    folders = {file.parent for file in files}
    present = {each for folder in folders if folder.is_dir() for each in folder.iterdir()}
    stale = [
        file
        for file, text in files.items()
        if not file.is_file() or file.read_text("utf-8") != text
    ]
    gone = sorted(present - set(files))
    if "--check" in sys.argv:
        for file in (*stale, *gone):
            print(f"stale: {file.relative_to(ROOT)}; run scripts/manuals.py", file=sys.stderr)
        sys.exit(bool(stale or gone))
    for file in stale:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(files[file], "utf-8")
    for file in gone:
        file.unlink()


if __name__ == "__main__":
    main()
