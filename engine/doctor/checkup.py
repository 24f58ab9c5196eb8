"""The whole check of a machine."""

from __future__ import annotations

import importlib.metadata
import threading
from collections.abc import Callable, Iterable

from engine.core.faults import EngineError, fault_of
from engine.core.findings import MISSING, Finding
from engine.doctor import hardware, software, surroundings
from engine.doctor.machine import Machine
from engine.settings import Settings

GROUP = "smartdomains.checks"
LIMIT_S = 15.0
"""Seconds one check may take; one that hangs is a finding."""

Check = Callable[[Settings], Iterable[Finding]]


def checkup(
    settings: Settings, *, running: bool, machine: Machine | None = None
) -> tuple[Finding, ...]:
    """Look at this machine as the host of a daemon with these settings; blocks, at most minutes.

    Args:
        settings: What the daemon is or would be told.
        running: It runs already, so that its port is in use.
        machine: What to look at, if not the machine itself.
    """
    here = machine or Machine()
    checks: list[tuple[str, Check]] = [
        ("versions", lambda _: software.versions(here)),
        ("programs", lambda _: software.programs(here)),
        ("rights", lambda _: hardware.rights(here)),
        ("limits", lambda _: hardware.limits(here)),
        ("kvm", lambda _: hardware.kvm(here)),
        ("network", lambda known: surroundings.network(here, known)),
        ("ports", lambda known: surroundings.ports(here, known, running=running)),
        ("state", lambda known: surroundings.state(here, known)),
        ("certificates", surroundings.certificates),
        ("clock", lambda _: surroundings.clock(here)),
        *others(),
    ]
    return tuple(each for name, check in checks for each in bounded(name, check, settings))


def others() -> list[tuple[str, Check]]:
    """Return the checks of packages of components, by name."""
    found = importlib.metadata.entry_points(group=GROUP)
    return [(each.name, _loading(each)) for each in sorted(found, key=lambda each: each.name)]


def _loading(entry: importlib.metadata.EntryPoint) -> Check:
    def check(settings: Settings) -> Iterable[Finding]:
        function: Check = entry.load()
        return function(settings)

    return check


def bounded(name: str, check: Check, settings: Settings, limit_s: float = LIMIT_S) -> list[Finding]:
    """Run one check; its failing, and its not ending in time, are findings too."""
    found: list[Finding] = []

    def run() -> None:
        try:
            found.extend(check(settings))
        except EngineError as error:
            found.append(Finding(name, "check", MISSING, error.fault.message, error.fault.hint))
        except Exception as error:  # noqa: BLE001 - boundary: checks of other packages
            text = f"the check itself failed: {fault_of(error).message}"
            found.append(Finding(name, "check", MISSING, text))

    thread = threading.Thread(target=run, name=f"check {name}", daemon=True)
    thread.start()
    thread.join(limit_s)
    if thread.is_alive():
        text = f"no answer within {limit_s:g} s"
        return [
            Finding(name, "check", MISSING, text, "look why it hangs; the check was left behind")
        ]
    return found
