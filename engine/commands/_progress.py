"""Progress of an operation on standard error: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TypeVar

import click

from engine.client.client import Operation
from engine.commands._front import Front
from engine.wire.messages import Progress

T = TypeVar("T")


def wait(front: Front, operation: Operation[T]) -> T:
    """Follow an operation to its end, showing how far it is, and return its result."""
    front.request_id = operation.id
    if front.quiet or front.as_json:
        return operation.result()
    live = sys.stderr.isatty()
    began = time.monotonic()

    def report(progress: Progress) -> None:
        share = f" {progress.done}/{progress.total}" if progress.total else ""
        line = f"{time.monotonic() - began:6.1f} s{share}  {progress.text}"
        if live:
            click.echo(f"\r\x1b[K{line}", err=True, nl=False)
        else:
            click.echo(line, err=True)

    operation.follow(report)
    if live:
        click.echo("\r\x1b[K", err=True, nl=False)
    return operation.result()
