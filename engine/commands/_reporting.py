"""A daemon's report about itself, in sections."""

from __future__ import annotations

from collections.abc import Callable

from engine.client.client import Client
from engine.client.logs import hosts_of
from engine.commands._drawing import table
from engine.commands._outcome import Outcome
from engine.wire.messages import Diagnosis, Table


def diagnosis(client: Client) -> Outcome:
    """Show what a daemon knows about itself and is doing."""
    report = client.diagnosis(whole=True)
    return Outcome(_data(report), _text(report.facts, report.tables))


def diagnosis_of(client: Client, name: str, connect: Callable[[str], Client]) -> Outcome:
    """Show what is about a component and all below it, from every host that holds a part of it."""
    path, addresses = hosts_of(client, name)
    reports = {each: connect(each).diagnosis(whole=True, path=path) for each in addresses}
    texts = [f"# {address}\n\n{_text((), report.tables)}" for address, report in reports.items()]
    data = {address: _data(report) for address, report in reports.items()}
    return Outcome(data, "\n\n".join(texts))


def _data(report: Diagnosis) -> dict[str, object]:
    tables = {
        each.name: [dict(zip(each.columns, row, strict=True)) for row in each.rows]
        for each in report.tables
    }
    return {**dict(report.facts), **tables}


def _text(facts: tuple[tuple[str, str], ...], tables: tuple[Table, ...]) -> str:
    shown = [_section("daemon", facts)] if facts else []
    shown.extend(_section(each.name, (each.columns, *each.rows)) for each in tables if each.rows)
    empty = ", ".join(each.name for each in tables if not each.rows)
    return "\n\n".join([*shown, *([f"nothing to say of: {empty}"] if empty else [])])


def _section(name: str, rows: tuple[tuple[str, ...], ...]) -> str:
    lines = table(rows).splitlines()
    return "\n".join([name.upper(), *(f"  {line}" for line in lines)])
