"""Checking a machine: this one, with the settings a daemon here would have, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import msgspec

from engine.client.client import Client
from engine.commands._exit import Exit
from engine.commands._outcome import Outcome
from engine.core.faults import EngineError
from engine.core.findings import GOOD, MISSING, Finding, fit
from engine.doctor.checkup import checkup
from engine.doctor.surroundings import Greeting, peer
from engine.settings import SettingsError, load

MARKS = {GOOD: "ok", MISSING: "MISSING"}
GREET_S = 10.0


def here(config: Path | None, port: int) -> tuple[Finding, ...]:
    """Check this machine, and greet the peers the settings name; `port` counts if they name none."""
    try:
        settings = load(config)
    except SettingsError as error:
        raise click.BadParameter(error.message, param_hint="--config") from error
    if "port" not in settings.origins:
        settings = msgspec.structs.replace(settings, port=port)
    mine = f"127.0.0.1:{settings.port}"
    running = not _greeting("", mine).trouble
    findings = checkup(settings, running=running)
    others = {name: at for name, at in settings.peers.items() if at != mine}
    with ThreadPoolExecutor(8) as pool:
        met = list(pool.map(_greeting, others, others.values()))
    return (*findings, *(each for greeting in met for each in peer(greeting)))


def _greeting(name: str, address: str) -> Greeting:
    client = Client(address, timeout_s=GREET_S)
    try:
        client.hello()  # so that the time it takes to connect does not count
        sent_s = time.time()
        welcome = client.hello()
        return Greeting.of(name, address, welcome.at_ms, sent_s, time.time())
    except EngineError as error:
        return Greeting(name, address, trouble=error.fault.message)
    finally:
        client.close()


def without(findings: Sequence[Finding], topics: tuple[str, ...]) -> tuple[Finding, ...]:
    """Leave out topics."""
    known = {finding.topic for finding in findings}
    unknown = set(topics) - known
    if unknown:
        raise click.BadParameter(
            f"no such topic: {', '.join(sorted(unknown))}; there are: {', '.join(sorted(known))}",
            param_hint="--skip",
        )
    return tuple(finding for finding in findings if finding.topic not in topics)


def outcome(findings: Sequence[Finding], *, all_: bool) -> Outcome:
    """Say what was found, and whether the machine is fit; of versions what is not good, or all."""
    well = fit(findings)
    data = {"fit": well, "findings": [msgspec.to_builtins(finding) for finding in findings]}
    return Outcome(data, _text(findings, all_=all_), Exit.DONE if well else Exit.FAILED)


def _text(findings: Sequence[Finding], *, all_: bool) -> str:
    """Write one line each, and what to do below."""
    lines: list[str] = []
    for finding in findings:
        if finding.verdict == GOOD and finding.topic == "versions" and not all_:
            continue
        mark = MARKS.get(finding.verdict, finding.verdict)
        lines.append(f"{mark:<8} {finding.topic:<12}  {finding.what}: {finding.text}")
        if finding.todo:
            lines.append(f"{'':<8} {'':<12}  do: {finding.todo}")
    missing = sum(finding.verdict == MISSING for finding in findings)
    lines.append(f"not fit to be a host: {missing} missing" if missing else "fit to be a host")
    return "\n".join(lines)
