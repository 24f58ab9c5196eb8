"""Worlds of libvirt's in-process driver: one per test, each its own file, so nothing is shared."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from components.hypervisor.connection import LibvirtHypervisor
from tests.components.hypervisor.worlds import SHORT, WORLD


@pytest.fixture
def world(tmp_path: Path) -> str:
    path = tmp_path / "world.xml"
    path.write_text(WORLD)
    return f"test://{path}"


@pytest.fixture
async def hypervisor(world: str) -> AsyncIterator[LibvirtHypervisor]:
    opened = await LibvirtHypervisor.open(world, limits=SHORT)
    yield opened
    await opened.close()
