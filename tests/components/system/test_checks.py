"""Health checks as components and as conditions; what a host says of itself."""

from __future__ import annotations

import asyncio
import os
import socket

import psutil
import pytest

from engine.ports import free_port
from engine.prim import Unwell
from engine.testing.kit import until
from tests.components.system.refusals import refuses

HEAD = '#include "components/checks.sf"\n#include "components/system.sf"\n'
QUICK = 'interval "20ms"; failures 2;'


def text(body, more=""):
    return f"{HEAD}sfConfig extends Compound {{ c extends {body} {more} }}"


async def test_it_is_unwell_after_so_many_failures_until_one_is_good(bench, tmp_path):
    await bench.deploy(text(f'CommandCheck {{ target ["test", "-e", "{tmp_path}/on"]; {QUICK} }}'))
    live = bench.find("c")

    async def unwell():
        try:
            await live.prim.check()
        except Unwell as error:
            return str(error)
        return ""

    await until(lambda: live.value("failed") >= 2)
    assert "ended with 1" in await unwell()
    (tmp_path / "on").touch()
    await until(lambda: live.value("failed") == 0)
    assert await unwell() == ""
    await bench.one.terminate("app")


async def test_one_failure_is_not_enough(bench):
    await bench.deploy(text('CommandCheck { target "false"; interval "1h"; failures 2; }'))
    live = bench.find("c")

    await until(lambda: live.value("failed") == 1)
    await live.prim.check()
    await bench.one.terminate("app")


async def test_as_a_condition_it_looks_at_once(bench):
    port = free_port()
    body = f'PortCheck {{ target "127.0.0.1:{port}"; interval "1h"; }}'
    await bench.deploy(text(body))
    live = bench.find("c")

    assert await live.prim.evaluate() is False
    assert "nothing at" in live.value("failureText")
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    async with server:
        assert await live.prim.evaluate() is True
    await bench.one.terminate("app")


async def test_workflows_take_checks_for_conditions(bench):
    whole = (
        f'#include "components/workflow.sf"\n{HEAD}sfConfig extends If {{ '
        'condition extends CommandCheck { target "true"; } '
        "then extends DoNothing { time 0; } "
        'else extends DoNothing { time 0; terminationType "abnormal"; } }'
    )
    await bench.deploy(whole)

    record = await until(lambda: bench.one.process.ended_application("app"))
    assert record.is_normal


async def test_a_page_is_looked_at(bench, tmp_path):
    from components.web.server import Servers

    (tmp_path / "page").write_text("all is well")
    servers = Servers()
    port = servers.open("x", str(tmp_path), "127.0.0.1", 0)
    try:
        for words, good in (
            ('contains "well"; method "GET";', True),
            ('contains "ill";', False),
            ("minCode 300; maxCode 500;", False),
        ):
            target = f"http://127.0.0.1:{port}/page"
            await bench.deploy(text(f'HttpCheck {{ target "{target}"; {words} }}'))
            assert await bench.find("c").prim.evaluate() is good
            await bench.one.terminate("app")
    finally:
        servers.end("x")


@pytest.mark.parametrize(
    ("words", "good"),
    [
        ('target "localhost";', True),
        ('target "localhost"; addresses ["127.0.0.1"];', True),
        ('target "localhost"; addresses ["192.0.2.7"];', False),
        ('target "no-such-name.invalid";', False),
    ],
)
async def test_a_name_is_looked_up(bench, words, good):
    await bench.deploy(text(f"DnsCheck {{ {words} timeout 20; }}"))

    assert await bench.find("c").prim.evaluate() is good
    await bench.one.terminate("app")


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ('HttpCheck { target "x"; }', "target: must be an address"),
        ("HttpCheck;", "`target` in .* is TBD"),
        ('HttpCheck { target "http://x"; method "PUT"; }', "method: must be one of GET, HEAD"),
        ('HttpCheck { target "http://x"; minCode 300; maxCode 200; }', "maxCode: must be at least"),
        ('HttpCheck { target "http://x"; interval 0; }', "interval: must be at least"),
        ('HttpCheck { target "http://x"; failures 0; }', "failures: must be at least 1"),
        ('HttpCheck { target "http://x"; timeout "x"; }', "timeout: must be a duration"),
        ('PortCheck { target "x"; }', 'target: must be "host:port"'),
        ('PortCheck { target "x:0"; }', 'target: must be "host:port"'),
        ('PortCheck { target "x:99999"; }', 'target: must be "host:port"'),
        ('DnsCheck { target "a b"; }', "target: must be a host name"),
        ('DnsCheck { target "x"; addresses ["y"]; }', "addresses: must be a list of IP addresses"),
        ("CommandCheck { target []; }", "target: must be a string or a list of strings"),
    ],
)  # fmt: skip
async def test_bad_attributes_are_refused_before_anything_starts(tmp_path, wrong, match):
    await refuses(tmp_path, wrong, match)


async def test_a_host_says_what_it_has(bench):
    await bench.deploy(text("Localhost;"))
    live = bench.find("c")
    memory = live.value("memory")

    assert live.value("hostname") == socket.gethostname()
    assert "127.0.0.1" in live.value("addresses").items
    assert live.value("cpus") == len(os.sched_getaffinity(0))
    assert getattr(memory, "value", memory) == psutil.virtual_memory().total
    assert live.value("load") >= 0
    await live.prim.check()
    await bench.one.terminate("app")
