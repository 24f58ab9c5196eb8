"""Ending things: components, applications, whole daemons; and keeping new work away."""

from __future__ import annotations

import getpass

from engine.client.client import Client
from engine.commands._exit import Exit
from engine.commands._front import Front
from engine.commands._outcome import Outcome
from engine.commands._progress import wait
from engine.core.records import ABNORMAL, NORMAL, Record
from engine.wire.messages import Gone


def record(command: str, reason: str = "", *, abnormal: bool = False) -> Record:
    """Return the record of an end that a user asked for."""
    return Record(
        ABNORMAL if abnormal else NORMAL, reason or f"ended by {getpass.getuser()} with {command}"
    )


def terminate(
    front: Front, client: Client, name: str, why: Record, *, stay: bool = True
) -> Outcome:
    """End a component, and wait until nothing of it is left; or, with `stay` false, do not wait."""
    operation = client.terminate(name, why, request_id=front.request_id, budget_s=front.timeout_s)
    if not stay:
        operation.accepted()
        text = f"{name} is ending; ask for the outcome with: --request-id {operation.id}"
        return Outcome({"name": name, "request_id": operation.id}, text)
    return _gone(name, wait(front, operation), f"terminated {name}")


def detach(front: Front, client: Client, name: str) -> Outcome:
    """Cut a component off from its parent; it goes on under the name that is printed."""
    cut = wait(front, client.detach(name, request_id=front.request_id))
    return Outcome({"before": cut.before, "name": cut.name, "host": cut.address}, cut.name)


def detach_and_terminate(front: Front, client: Client, name: str, why: Record) -> Outcome:
    """Cut a component off, then end it: what was around it goes on."""
    operation = client.detach_and_terminate(name, why, request_id=front.request_id)
    return _gone(name, wait(front, operation), f"terminated {name}")


def stop(front: Front, client: Client, *, force: bool = False, drain_s: float = 0.0) -> Outcome:
    """End everything in a daemon, then the daemon."""
    operation = client.stop(force=force, drain_s=drain_s, request_id=front.request_id)
    gone = wait(front, operation)
    outcome = _gone(gone.name, gone, "")
    head = f"stopped {gone.name}: {gone.components} components ended in {gone.took_ms} ms"
    return outcome._replace(text="\n".join([head, *outcome.text.splitlines()[1:]]))


def drain(front: Front, client: Client, *, on: bool, limit_s: float) -> Outcome:
    """Keep new work away from a daemon and have its components move; or let work come again."""
    operation = client.drain(on=on, limit_s=limit_s, request_id=front.request_id)
    done = wait(front, operation)
    moved = f": {done.moved} components moved away" if on else ""
    lines = [f"{client.address} is {done.state}{moved}"]
    lines.extend(f"   stayed      {line}" for line in done.stayed)
    data = {"state": done.state, "moved": done.moved, "stayed": list(done.stayed)}
    return Outcome(data, "\n".join(lines), Exit.FAILED if done.stayed else Exit.DONE)


def _gone(name: str, gone: Gone, head: str) -> Outcome:
    lines = [f"{head}: {gone.components} components in {gone.took_ms} ms"]
    lines.extend(f"   trouble     {error}" for error in gone.errors)
    lines.extend(f"   left behind {line}" for line in gone.leftovers)
    data = {
        "name": name, "components": gone.components, "took_ms": gone.took_ms,
        "errors": list(gone.errors), "leftovers": list(gone.leftovers),
    }  # fmt: skip
    return Outcome(data, "\n".join(lines), Exit.LEFTOVERS if gone.leftovers else Exit.DONE)
