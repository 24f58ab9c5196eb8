"""Looking at a lab with a Xen host from outside, with what any administrator has."""

from __future__ import annotations

import json
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
OUTSIDE = ROOT / "tests" / "outside" / "xen_left.py"
THIN = "thin"
SLOW_S = 600.0
"""Seconds that the emulated host is given for anything."""


def xen_holds(lab):
    """What the Xen host holds, line by line."""
    host = lab["x1"]
    folders = (str(host.folder / "state"), str(lab.folder / "images"))
    done = host.run("python3", "-I", "-S", "-c", OUTSIDE.read_text(), *folders, limit_s=120)
    assert done.code == 0, done.err
    return done.out.splitlines()


def domains(lab, host):
    """Names of the domains on a host, as virsh lists them over the network."""
    uri = "xen+tcp://x1/system" if host == "x1" else lab[host].uri
    done = lab.sf("virsh", "-c", uri, "list", "--all", "--name")
    assert done.code == 0, done.err
    return sorted(name for name in done.out.split() if name != "Domain-0")


def sf(lab, *argv, code=0):
    """Run a command to its end and expect its exit code; gives what it printed."""
    done = lab.sf(*map(str, argv), limit_s=SLOW_S, cwd=ROOT)
    assert done.code == code, f"{done.code}: {done.out}{done.err}"
    return done.out


def events(lab, host):
    """What a daemon has told of late; under load the Xen host takes its time to answer at all."""
    return until(lambda: lab.sf("sfevents", host).out, within_s=180)


def tree(lab, name="pool"):
    """State of each component of an application by its path; empty once it is gone."""
    done = lab.sf("sfstatus", "h1", name, "--json")
    if done.code != 0:
        return {}
    rows = json.loads(done.out)["result"]
    return {row["path"]: row["state"] for row in rows}


def holds_as(lab, before, *, within_s=180):
    """Wait until the Xen host holds what it did; a failure says what differs."""
    until(
        lambda: xen_holds(lab) == before,
        within_s=within_s,
        else_=lambda: f"what differs: {sorted(set(xen_holds(lab)) ^ set(before))}",
    )


def until(condition, *, within_s=SLOW_S, else_=lambda: "it never came true"):
    """Wait for a condition to come true, and return what it gave."""
    end = time.monotonic() + within_s
    while not (seen := condition()):
        assert time.monotonic() < end, else_()
        time.sleep(1)
    return seen
