"""What the tests of the hypervisor share: a small world, a domain for it, waiting."""

from __future__ import annotations

import asyncio
import xml.etree.ElementTree as ET
from collections.abc import Awaitable, Callable

from components.hypervisor.limits import Limits
from components.hypervisor.owner import OwnerRecord, owner_element

WORLD = """<node><cpu><mhz>1000</mhz><model>x</model><active>4</active><nodes>1</nodes>
<sockets>1</sockets><cores>4</cores><threads>1</threads></cpu><memory>8000000</memory>
<domain type='test'><name>foreign</name>
<uuid>11111111-2222-3333-4444-555555555555</uuid><memory>65536</memory>
<os><type>hvm</type></os></domain></node>"""

OWNER = OwnerRecord(community="lab", application="pool", path="pool:host1:vm1", incarnation=1)
UUID = "aaaaaaaa-0000-4000-8000-000000000001"


SHORT = Limits(read_s=5, change_s=5, open_s=5, reconnect_s=(0.01, 0.02))


def domain_xml(name: str = "vm1", uuid: str = UUID, owner: OwnerRecord = OWNER) -> str:
    record = ET.tostring(owner_element(owner), encoding="unicode")
    return (
        f"<domain type='test'><name>{name}</name><uuid>{uuid}</uuid>"
        f"<metadata>{record}</metadata><memory unit='MiB'>64</memory><vcpu>1</vcpu>"
        "<os><type arch='x86_64'>hvm</type></os></domain>"
    )


async def until(condition: Callable[[], Awaitable[bool] | bool], *, within_s: float = 5.0) -> None:
    """Wait for a condition, at most so many seconds."""
    async with asyncio.timeout(within_s):
        while True:
            answer = condition()
            if await answer if isinstance(answer, Awaitable) else answer:
                return
            await asyncio.sleep(0.01)
