"""The report of `sfparse -R`: one HTML page on any number of descriptions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from time import perf_counter

from sfdl.commands.shared import count
from sfdl.compiler import compile_description
from sfdl.diagnostics import Diagnostic
from sfdl.errors import CompileError

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Descriptions</title>
<style>body{font-family:sans-serif}td,th{padding:.2em .8em;text-align:left}pre{background:#eee}
.wrong{color:#a00}.right{color:#060}</style></head><body>"""


def html_report(
    files: Sequence[Path], folders: Iterable[Path], overrides: Iterable[tuple[str, str]]
) -> tuple[str, bool]:
    """Compile files; return the page, and whether all of them are right."""
    folders, overrides = tuple(folders), tuple(overrides)
    rows, details, right = [], [], 0
    for path in files:
        started = perf_counter()
        found: Sequence[Diagnostic]
        try:
            compiled = compile_description(path, search_path=folders, overrides=overrides)
        except CompileError as error:
            found, verdict = error.diagnostics, ("wrong", "", "")
        else:
            found = compiled.warnings
            components, attributes = count(compiled.root)
            verdict = ("right", str(components), str(attributes))
            right += 1
        rows.append(_row(path, verdict, len(found), perf_counter() - started))
        details.extend(_detail(path, found))
    head = "<tr><th>file<th>verdict<th>components<th>attributes<th>findings<th>ms</tr>"
    title = f"<h1>{right} of {len(files)} descriptions are right</h1>"
    page = [_HEAD, title, "<table>", head, *rows, "</table>", *details, "</body></html>"]
    return "\n".join(page), right == len(files)


def _row(path: Path, verdict: tuple[str, str, str], findings: int, seconds: float) -> str:
    word, components, attributes = verdict
    cells = (components, attributes, str(findings), f"{seconds * 1000:.0f}")
    rest = "".join(f"<td>{cell}" for cell in cells)
    return f'<tr><td>{escape(str(path))}<td class="{word}">{word}{rest}</tr>'


def _detail(path: Path, found: Sequence[Diagnostic]) -> list[str]:
    if not found:
        return []
    text = escape("\n".join(diagnostic.render() for diagnostic in found))
    return [f"<h2>{escape(str(path))}</h2>", f"<pre>{text}</pre>"]
