"""Component tests run twice: with all children in this process, and with all in a second one."""

from __future__ import annotations

import pytest

import sfdl
from engine.testing.kit import engines
from sfdl.values import Description
from tests.components.zookeeper_server import server_of_the_run, zookeeper

__all__ = ["server_of_the_run", "zookeeper"]


@pytest.fixture(params=["here", "elsewhere"])
def placement(request):
    return request.param


def placed(root: Description, host: str) -> Description:
    """Put every child of the root on a host."""
    pairs = tuple(
        (name, value.replaced("sfProcessHost", host) if isinstance(value, Description) else value)
        for name, value in root.attributes
    )
    return Description(pairs, root.tags, root.data)


class Bench:
    """Two engines, and the one that holds the children as the test's placement says."""

    def __init__(self, network, one, two, placement):
        self.network, self.one, self.two = network, one, two
        self.holder = one if placement == "here" else two
        self.work = self.holder.process.work_folder
        self._placement = placement

    def compiled(self, text):
        root = sfdl.compile(text).root
        return placed(root, "host2") if self._placement == "elsewhere" else root

    async def deploy(self, text, name="app"):
        return await self.one.deploy(name, self.compiled(text))

    def find(self, name):
        return next(live for live in self.holder.process.lives.values() if live.name == name)


@pytest.fixture
async def bench(tmp_path, placement):
    async with engines(tmp_path / "state", 2, threads=True) as (network, (one, two)):
        yield Bench(network, one, two, placement)
