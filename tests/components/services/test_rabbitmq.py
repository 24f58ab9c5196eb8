"""A real RabbitMQ broker as a component."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import urllib.error
import urllib.request
from pathlib import Path

import pytest

import descriptions
import sfdl
from components.system.program import started_ticks
from engine.core.records import Record
from engine.ports import free_port
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import engines, until

pytestmark = [pytest.mark.integration, pytest.mark.rabbitmq, pytest.mark.usefixtures("rabbitmq_here")]  # fmt: skip
EXAMPLE = Path(descriptions.__file__).parent / "examples" / "rabbitmq.sf"
HEAD = '#include "components/services.sf"\n'
LOGIN = {"login": "worker", "password": "change me", "virtualhost": "jobs", "host": "127.0.0.1"}


def example(folder, port, *more):
    overrides = [("sfConfig:folder", str(folder)), ("sfConfig:port", str(port)), *more]
    return sfdl.compile(EXAMPLE, overrides=overrides).root


def find(engine, path):
    return next((live for live in engine.process.lives.values() if live.path == path), None)


def programs(engine, path):
    return {name: find(engine, f"{path}:{name}").value("pid") for name in ("epmd", "broker")}


class Publisher:
    """A client that keeps publishing persistent messages, and remembers which were confirmed."""

    def __init__(self, port):
        self.port = port
        self.confirmed = []
        self.failed = 0
        self.stopping = False

    async def run(self):
        import aio_pika

        number = 0
        while not self.stopping:
            try:
                connection = await aio_pika.connect(port=self.port, timeout=5, **LOGIN)
            except (aio_pika.exceptions.AMQPError, OSError):
                await asyncio.sleep(0.1)
                continue
            try:
                channel = await connection.channel(publisher_confirms=True)
                await channel.declare_queue("load", durable=True)
                while not self.stopping:
                    number += 1
                    message = aio_pika.Message(
                        str(number).encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT
                    )
                    await channel.default_exchange.publish(message, "load", timeout=5)
                    self.confirmed.append(number)
            except (aio_pika.exceptions.AMQPError, OSError, RuntimeError, TimeoutError):
                self.failed += 1
            finally:
                await connection.close()


async def consumed(port):
    """Take everything out of the queue."""
    import aio_pika

    found = set()
    connection = await aio_pika.connect(port=port, timeout=10, **LOGIN)
    async with connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("load", durable=True)
        while (message := await queue.get(fail=False, timeout=10)) is not None:
            found.add(int(message.body))
            await message.ack()
    return found


@pytest.mark.timeout(240)
async def test_a_broker_that_is_killed_comes_back_with_every_confirmed_message(tmp_path):
    port = free_port()
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("mq", example(tmp_path / "data", port))
        await until(lambda: engine.process.application("mq").ready, timeout_s=90)
        publisher = Publisher(port)
        publishing = asyncio.get_running_loop().create_task(publisher.run())
        try:
            await until(lambda: len(publisher.confirmed) > 100, timeout_s=30)
            victims = programs(engine, "mq:broker")
            os.kill(victims["broker"], signal.SIGKILL)
            await until(lambda: publisher.failed > 0, timeout_s=30)
            before = len(publisher.confirmed)
            await until(lambda: len(publisher.confirmed) > before + 100, timeout_s=90)
        finally:
            publisher.stopping = True
            await publishing
        await until(lambda: engine.process.application("mq").ready, timeout_s=60)
        assert started_ticks(victims["epmd"]) is None, "its own epmd went with it"

        assert set(publisher.confirmed) <= await consumed(port)

        last = programs(engine, "mq:broker")
        await engine.terminate("mq")
        assert [started_ticks(pid) for pid in last.values()] == [None, None]


@pytest.mark.timeout(180)
def test_a_broker_runs_on_while_its_daemon_is_killed_and_is_taken_up_again(tmp_path):
    port = free_port()
    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("mq", example(tmp_path / "data", port)).result()
        wait_until(lambda: all(row.ready for row in client.whole_tree("mq")), timeout_s=90)
        pids = [pid_of(client, f"mq:broker:{name}") for name in ("epmd", "broker")]
        one.kill()
        assert all(started_ticks(pid) is not None for pid in pids)
        one.start()
        wait_until(lambda: all(row.ready for row in client.whole_tree("mq")), timeout_s=60)
        assert [pid_of(client, f"mq:broker:{name}") for name in ("epmd", "broker")] == pids

        assert client.terminate("mq", Record.normal()).result().leftovers == ()

        assert [started_ticks(pid) for pid in pids] == [None, None]
        client.close()


def pid_of(client, path):
    return int(next(row.value for row in client.attributes(path) if row.name == "pid"))


@pytest.mark.timeout(180)
async def test_its_management_is_for_its_user(tmp_path):
    port, management = free_port(), free_port()
    root = example(tmp_path / "data", port, ("sfConfig:broker:managementPort", str(management)))
    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("mq", root)
        await until(lambda: engine.process.application("mq").ready, timeout_s=90)

        def status(password):
            word = base64.b64encode(f"worker:{password}".encode()).decode()
            url = f"http://127.0.0.1:{management}/api/vhosts/jobs"
            asked = urllib.request.Request(url, headers={"Authorization": f"Basic {word}"})
            try:
                with urllib.request.urlopen(asked, timeout=10) as answer:
                    return answer.status
            except urllib.error.HTTPError as error:
                with error:
                    return error.code

        assert await asyncio.to_thread(status, "change me") == 200
        assert await asyncio.to_thread(status, "guess") == 401
        await engine.terminate("mq")


@pytest.mark.timeout(180)
async def test_one_of_others_is_looked_at_with_its_user(tmp_path):
    port = free_port()

    def theirs(password):
        more = f'port {port}; external true; vhost "jobs"; user "worker"; password "{password}";'
        return sfdl.compile(
            f"{HEAD}sfConfig extends Compound {{ mq extends RabbitMQServer {{ {more} startTimeout 5; }} }}"
        ).root

    async with engines(tmp_path / "state", threads=True) as (_, (engine,)):
        await engine.deploy("mq", example(tmp_path / "data", port))
        await until(lambda: engine.process.application("mq").ready, timeout_s=90)

        await engine.deploy("good", theirs("change me"))
        await until(lambda: find(engine, "good").ready)
        await engine.deploy("bad", theirs("guess"))
        record = await until(lambda: engine.process.ended_application("bad"))

        assert "no log-in" in record.description
        assert "guess" not in record.description
        await engine.terminate("good")
        await engine.terminate("mq")
