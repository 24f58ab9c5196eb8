"""The check of this process's own machine, for whoever asks from elsewhere."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING

from engine.core.faults import EngineError
from engine.core.findings import Finding
from engine.doctor.checkup import checkup
from engine.doctor.surroundings import Greeting, peer
from engine.wire.messages import Checkup

if TYPE_CHECKING:
    from engine.runtime.process import Process


async def check_machine(process: Process) -> Checkup:
    """Look at the machine in a thread, and greet the peers the settings name."""
    look = partial(checkup, process.settings, running=True)
    others = {name: at for name, at in process.settings.peers.items() if at != process.address}
    greetings = asyncio.gather(*(_greet(process, *other) for other in others.items()))
    found: tuple[Finding, ...] = await process.workers.run(look, pending=set())
    seen = [each for greeting in await greetings for each in peer(greeting)]
    return Checkup((*found, *seen))


async def _greet(process: Process, name: str, address: str) -> Greeting:
    sent_s = time.time()
    try:
        welcome = await process.peers.hello(address)
    except EngineError as error:
        return Greeting(name, address, trouble=error.fault.message)
    return Greeting.of(name, address, welcome.at_ms, sent_s, time.time())
