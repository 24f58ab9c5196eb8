"""Wrong servers are refused in words before anything starts."""

from __future__ import annotations

import pytest

import sfdl
from components.services import ZooKeeperServer
from engine.core.faults import EngineError
from engine.testing.kit import engines

HEAD = '#include "components/services.sf"\n'
MEMBERS = '[|"127.0.0.1:2881:3881", "127.0.0.1:2882:3882"|]'
RABBIT = 'user "u"; password "p";'


@pytest.mark.parametrize(
    ("type_", "text", "said"),
    [
        ("ZooKeeperServer", "port 0;", "port: must be at least 1"),
        ("ZooKeeperServer", "port 65536;", "port: must be at most 65535"),
        ("ZooKeeperServer", 'port "two";', "port"),
        ("ZooKeeperServer", 'bind "nowhere";', "bind: must be an IP address"),
        ("ZooKeeperServer", 'dataDir "here";', "dataDir: must be an absolute path"),
        ("ZooKeeperServer", "tickTime 10;", "tickTime: must be at least 50"),
        ("ZooKeeperServer", 'heap "1m";', "heap: must be at least 32 MiB"),
        ("ZooKeeperServer", "startTimeout 0;", "startTimeout: must be at least 1"),
        ("ZooKeeperServer", 'servers [|"a:1"|]; myid 1;', "servers: must be servers as"),
        ("ZooKeeperServer", 'servers [|"a:1:99999"|]; myid 1;', "servers: must be servers as"),
        (
            "ZooKeeperServer",
            'servers [|"a:1:2", "a:1:2"|]; myid 1;',
            "must not name a server twice",
        ),
        ("ZooKeeperServer", f'servers {MEMBERS}; dataDir "/d";', "myid must say which"),
        ("ZooKeeperServer", f'servers {MEMBERS}; dataDir "/d"; myid 3;', "myid must say which"),
        ("ZooKeeperServer", f"servers {MEMBERS}; myid 1;", "needs dataDir"),
        ("RabbitMQServer", "", "user"),
        ("RabbitMQServer", 'user "u";', "password"),
        ("RabbitMQServer", 'user ""; password "p";', "user: must be a name"),
        ("RabbitMQServer", f'{RABBIT} vhost "";', "vhost: must be a name"),
        ("RabbitMQServer", f"{RABBIT} managementPort 0;", "managementPort: must be at least 1"),
        ("RabbitMQServer", f"{RABBIT} managementPort 5672;", "managementPort"),
        ("RabbitMQServer", f"{RABBIT} port -1;", "port: must be at least 1"),
    ],
)
async def test_it_is_refused(tmp_path, type_, text, said):
    async with engines(tmp_path, threads=True) as (_, (engine,)):
        whole = f"{HEAD}sfConfig extends Compound {{ s extends {type_} {{ {text} }} }}"
        with pytest.raises((EngineError, sfdl.CompileError), match=said):
            await engine.deploy("app", sfdl.compile(whole).root)
        assert not engine.process.lives
        assert not list(engine.process.work_folder.glob("server-*"))


async def test_two_servers_of_one_application_do_not_name_the_same_folder(tmp_path):
    server = 'ZooKeeperServer { dataDir "/srv/zk"; }'
    root = sfdl.compile(
        f"{HEAD}sfConfig extends Compound {{ a extends {server} b extends {server} }}"
    ).root
    async with engines(tmp_path, threads=True) as (_, (engine,)):
        with pytest.raises(EngineError, match="dataDir"):
            await engine.deploy("app", root)


async def test_a_password_is_not_shown_when_it_does_not_fit(tmp_path):
    broker = {"sfClass": "components.services.RabbitMQServer", "user": "u", "password": 4711}
    async with engines(tmp_path, threads=True) as (_, (engine,)):
        with pytest.raises(EngineError, match="password: does not fit") as caught:
            await engine.deploy("app", {"sfClass": "engine.compound.Compound", "s": broker})
        assert "4711" not in str(caught.value)


async def test_a_package_that_is_missing_is_named_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(ZooKeeperServer, "needs", ("/nowhere/zookeeper.jar",))
    root = sfdl.compile(f"{HEAD}sfConfig extends Compound {{ s extends ZooKeeperServer; }}").root
    async with engines(tmp_path, threads=True) as (_, (engine,)):
        with pytest.raises(EngineError, match=r"zookeeper\.jar is not on this host") as caught:
            await engine.deploy("app", root)
        hints = [fault.hint for fault in caught.value.fault.chain()]
        assert "apt-get install zookeeper default-jre-headless" in hints
        assert not engine.process.lives
