"""Waiting for an operation: its progress on standard error, and what an interrupt does to it."""

from __future__ import annotations

import sys
import time
from typing import TypeVar

import click

from engine.client.client import Operation
from engine.commands._front import Front
from engine.core.faults import EngineError, Fault
from engine.wire.messages import Progress

T = TypeVar("T")
UNDO_S = 60.0
"""Seconds a deployment may take to be rolled back after an interrupt."""


def wait(front: Front, operation: Operation[T], *, undo: bool = False) -> T:
    """Follow an operation to its end, showing how far it is, and return its result.

    Args:
        front: Where to show it.
        operation: What is under way.
        undo: An interrupt has it rolled back; else it goes on without us.

    Raises:
        KeyboardInterrupt: With a sentence that says what became of it.
        EngineError: As it failed.
    """
    front.request_id = operation.id
    try:
        return _followed(front, operation)
    except KeyboardInterrupt:
        front.line("")
        if not undo:
            raise KeyboardInterrupt(_unknown(operation, "it goes on")) from None
        front.say("interrupted: stopping it; again to leave at once")
        raise KeyboardInterrupt(_undone(operation)) from None


def _followed(front: Front, operation: Operation[T]) -> T:
    if front.quiet or front.as_json:
        return operation.result()
    began = time.monotonic()

    def report(progress: Progress) -> None:
        share = f" {progress.done}/{progress.total}" if progress.total else ""
        line = f"{time.monotonic() - began:6.1f} s{share}  {progress.text}"
        if sys.stderr.isatty():
            front.line(line)
        else:
            click.echo(line, err=True)

    operation.follow(report)
    front.line("")
    return operation.result()


def _undone(operation: Operation[T]) -> str:
    """Have a deployment stopped, and say what became of it, as far as that is known."""
    try:
        operation.cancel(UNDO_S)
        operation.result()
    except KeyboardInterrupt:
        return _unknown(operation, "it may be there, or be rolled back")
    except EngineError as error:
        fault = error.fault
        if fault.code == "SF-OP-005":
            return f"interrupted: {fault.message}"
        if fault.code in {"SF-OP-002", "SF-HOOK-003"} or fault.undone:
            return _rolled_back(fault)
        return _unknown(operation, fault.message)
    return "interrupted: it had started already and goes on; sfterminate ends it"


def _rolled_back(fault: Fault) -> str:
    if fault.leftovers:
        left = "; ".join(fault.leftovers)
        return f"interrupted: rolled back, but left with the reaper: {left}"
    return f"interrupted: rolled back, nothing is left of {fault.undone} components"


def _unknown(operation: Operation[T], why: str) -> str:
    return f"interrupted: outcome unknown ({why}); ask again with: --request-id {operation.id}"
