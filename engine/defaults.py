"""Default descriptions: what a daemon makes real by itself at every start."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.core.faults import raised
from engine.runtime.process import Process
from engine.wire.codec import flatten
from engine.wire.messages import Create, Request
from sfdl.errors import SmartDomainsError
from sfdl.values import Description

START_S = 600.0


async def deploy_defaults(process: Process) -> None:
    """Start the default descriptions that do not run already, one after the other.

    One that cannot be started leaves nothing behind and does not keep the daemon from running: it
    is an event and a line in the log. A process that takes no new work starts none.
    """
    files = process.settings.defaults
    if not files or process.state != "running":
        return
    for file in files:
        try:
            await _deploy(process, Path(file))
        except SmartDomainsError as error:
            process.events.note(None, "error", f"default {file}: {error}")


async def _deploy(process: Process, file: Path) -> None:
    tree = await asyncio.get_running_loop().run_in_executor(None, _compiled, file)
    own = tree.get("sfProcessComponentName")
    name = own if isinstance(own, str) and own else file.stem
    if name in process.apps:
        return  # taken up from the life before
    op = Create(process.new_id(), name, name, name, flatten(tree), upto="started")
    request = Request(process.new_id(), op, int(START_S * 1000), 20_000)
    while True:
        answer = await process.operations.submit(request)
        if answer.fault is not None:
            raise raised(answer.fault)
        if answer.status == "done":
            process.events.note(None, "info", f"default {file} started as {name}")
            return


def _compiled(file: Path) -> Description:
    import sfdl  # noqa: PLC0415 - slow to import, and few daemons have defaults

    return sfdl.compile(file).root
