"""`Watch`: changes of an attribute as events, from this process and from another one."""

from __future__ import annotations

import json

import pytest

import sfdl
from engine.core.faults import EngineError
from engine.testing.kit import begin, engines, until
from engine.wire.messages import Change, Set, as_tree

HEAD = """
#include "org/smartfrog/components.sf"
#include "components/observing.sf"
#include "components/events.sf"
"""


def compiled(file, text, where=""):
    return sfdl.compile(f"""{HEAD}
    sfConfig extends Compound {{
        it extends Compound {{ level "low"; {where} }}
        log extends EventLog {{ file "{file}"; }}
        watch extends Watch {{ target LAZY ATTRIB it; sendTo LAZY ATTRIB log; {text} }}
    }}""").root


def heard(file):
    return [json.loads(line)["event"] for line in file.read_text().splitlines()] if file.exists() else []  # fmt: skip


async def change(engine, value, ref="app:it", name="level"):
    await engine.submit(Set((Change(name, "replace", as_tree(value)),), ref=ref))


@pytest.mark.parametrize("where", ["", 'sfProcessHost "host2";'])
async def test_each_change_is_an_event_with_the_new_value(tmp_path, where):
    file = tmp_path / "log"
    text = 'attribute "level"; interval "100ms";'
    async with engines(tmp_path / "state", 2, threads=True) as (_, (one, _two)):
        await one.deploy("app", compiled(file, text, where))
        for number, value in enumerate(("high", "low", 7)):
            await change(one, value)
            await until(lambda n=number: len(heard(file)) > n)

        assert heard(file) == ["high", "low", 7]
        await one.terminate("app")


async def test_what_is_sent_may_be_said(tmp_path):
    file = tmp_path / "log"
    text = 'attribute "level"; onChange "alarm"; interval "100ms";'
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("app", compiled(file, text))
        await change(one, "high")
        await until(lambda: heard(file) == ["alarm"])
        await one.terminate("app")


async def test_in_the_same_process_it_does_not_wait_for_the_interval(tmp_path):
    file = tmp_path / "log"
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("app", compiled(file, 'attribute "level"; interval "1h";'))
        await change(one, "high")
        await until(lambda: heard(file) == ["high"], timeout_s=10)
        await one.terminate("app")


async def test_an_attribute_that_comes_later_is_no_change_until_it_changes(tmp_path):
    file = tmp_path / "log"
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("app", compiled(file, 'attribute "late"; interval "50ms";'))
        watch = next(e for e in one.process.lives.values() if e.name == "watch")
        await change(one, 1, name="late")
        await until(lambda: watch.has("sfWatched"))
        await change(one, 2, name="late")
        await until(lambda: heard(file) == [2])
        await one.terminate("app")


async def test_a_change_while_the_daemon_was_down_is_seen(tmp_path):
    file = tmp_path / "log"
    text = 'attribute "level"; interval "100ms";'
    async with engines(tmp_path / "state", 2, threads=True) as (network, (one, two)):
        await one.deploy(
            "app", compiled(file, text, 'sfProcessHost "host2"; sfOrphanPolicy "keep";')
        )
        network.kill(one.process)
        live = next(e for e in two.process.lives.values() if e.name == "it")
        live.write("level", "high")
        peers = {"host1": "host1:3800", "host2": "host2:3800"}
        again = await begin(
            network, tmp_path / "state" / "host1", "host1", "host1:3800", peers, threads=True
        )
        try:
            await until(lambda: heard(file) == ["high"])
            await again.terminate("app")
        finally:
            network.verbs.pop(again.process.address, None)
            await again.process.stop()


async def test_a_secret_is_not_sent_on(tmp_path):
    file = tmp_path / "log"
    text = f"""{HEAD}
    sfConfig extends Compound {{
        it extends Compound {{ [secret] level "abc"; }}
        log extends EventLog {{ file "{file}"; }}
        watch extends Watch {{ target LAZY ATTRIB it; sendTo LAZY ATTRIB log; attribute "level"; }}
    }}"""
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        with pytest.raises(EngineError, match="level is secret"):
            await one.deploy("app", sfdl.compile(text).root)
        said = 'attribute "level"; onChange "rotated"; interval "50ms";'
        await one.deploy("app", sfdl.compile(text.replace('attribute "level";', said)).root)
        await change(one, "def")
        await until(lambda: heard(file) == ["rotated"])
        assert "abc" not in file.read_text()
        await one.terminate("app")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "attribute"),
        ('attribute "two words";', "attribute: must be one word"),
        ('attribute "level"; interval 0;', "interval: must be at least"),
        ('attribute "level"; target NULL;', "target: must be a reference"),
        ('attribute "level"; target "it";', "target: must be a reference"),
        ('attribute "level"; onChange extends DATA { a 1; }', "onChange: must be plain data"),
    ],
)
async def test_a_wrong_one_is_refused_before_anything_starts(tmp_path, text, said):
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        with pytest.raises((EngineError, sfdl.CompileError), match=said):
            await one.deploy("app", compiled(tmp_path / "log", text))
        assert not one.process.lives
