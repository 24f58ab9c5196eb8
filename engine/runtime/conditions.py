"""Asking conditions: whatever an attribute leads to that can say yes or no."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.core.faults import EngineError, fault_of
from engine.core.leases import Verdict
from engine.runtime.live import Live
from engine.wire.codec import decode, encode
from engine.wire.messages import Handle
from sfdl.values import Part, PartKind, Reference

if TYPE_CHECKING:
    from engine.runtime.process import Process


def path(*names: str) -> Reference:
    """Make a reference to something below the component that holds it."""
    return Reference(tuple(Part(PartKind.HERE, name) for name in names), lazy=True)


async def judge(process: Process, live: Live, name: str) -> Verdict:
    """Ask the condition under an attribute of a component, anew each time.

    It is a component with an exposed `evaluate()`, a child or the target of a reference; or a Boolean,
    or what gives one.

    Returns:
        What it says; that it cannot tell when asking fails. The text is its `failureText`.
    """
    try:
        found = await process.resolver.resolve(live, path(name))
        if isinstance(found, Handle):
            return await _ask(process, live, name, found)
    except Exception as error:  # noqa: BLE001 - boundary: whatever fails, it cannot be told
        return Verdict(None, fault_of(error).message)
    if isinstance(found, bool):
        return Verdict(found, "" if found else f"{name} is false")
    return Verdict(None, f"{name} of {live.path} is neither a condition nor true or false")


async def _ask(process: Process, live: Live, name: str, target: Handle) -> Verdict:
    if decode(await process.calls.call(target, "evaluate", encode([])), bool):
        return Verdict(good=True)
    try:
        text = await process.resolver.resolve(live, path(name, "failureText"))
    except EngineError:
        text = None
    return Verdict(good=False, text=text if isinstance(text, str) and text else f"{name} is false")
