"""What all tables of bad attributes share."""

from __future__ import annotations

import pytest

import sfdl
from engine.core.faults import EngineError
from engine.testing.kit import engines
from sfdl.errors import SmartDomainsError


async def refuses(tmp_path, text, match):
    """Have a description refused, with nothing started: not even what stands before it."""
    marker = tmp_path / "started"
    names = ("system", "files", "web", "checks")
    head = "".join(f'#include "components/{name}.sf"\n' for name in names)
    first = f'first extends Process {{ cmd ["touch", "{marker}"]; }}'
    whole = f"{head}sfConfig extends Compound {{ {first} x extends {text} }}"
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        with pytest.raises((EngineError, SmartDomainsError), match=match):
            await one.deploy("app", sfdl.compile(whole).root)
        assert not one.process.apps
    assert not marker.exists()
