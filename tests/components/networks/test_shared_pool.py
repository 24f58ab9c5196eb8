"""Addresses that pools on many hosts share, written down with a real ZooKeeper."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest
from kazoo.client import KazooClient

import sfdl
from components.coordination import book
from components.coordination.book import Book
from components.networks.allotting import Subnets, choose
from components.networks.ip_pool import Journals
from components.networks.journal import SharedJournal
from engine.core.faults import BadDescription, EngineError, Refused, Unreachable
from engine.core.lifecycle import State
from engine.ports import free_port
from engine.testing.kit import engines

pytestmark = pytest.mark.zookeeper

NUMBERS = itertools.count()
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {
    sfSyncTerminate true; hypervisorUri "test:///default";
    pool extends IpPool {
        subnets [|"10.40.0.0/29"|]; gateway "10.40.0.1"; store "zookeeper"; MORE
    }
    vm extends KvmDomain {
        ipPool LAZY ATTRIB pool; diskless true; memory 64; startMode "defined";
    }
}
"""


@pytest.fixture
def site(zookeeper):
    """What a pool says of the ensemble and of its own name there, which is a new one."""
    name = f"p{next(NUMBERS)}-{time.monotonic_ns()}"
    return f'servers [|"{zookeeper.hosts[0]}"|]; poolName "{name}";'


@pytest.fixture
def books(zookeeper):
    """Makes books of one document, as daemons on many hosts would; all are closed at the end."""
    node, made = f"/t{next(NUMBERS)}-{time.monotonic_ns()}/pool", []

    def make():
        made.append(Book(zookeeper.hosts, node))
        return made[-1]

    yield make
    for each in made:
        each.close()


def compiled(more):
    return sfdl.compile(POOL.replace("MORE", more)).root


def test_those_who_write_at_the_same_time_get_different_addresses(books):
    pool, owners = Subnets(("10.0.0.0/27",)), [f"app:vm{n}" for n in range(24)]
    journals = [SharedJournal(books()) for _ in range(4)]
    gate = threading.Barrier(8)

    def take(number):
        if number < 8:
            gate.wait(10)
        owner, journal = owners[number], journals[number % 4]
        return journal.allot(owner, b"", lambda rows: choose(pool, owner, rows, 0.0, ""))

    with ThreadPoolExecutor(8) as workers:
        given = list(workers.map(take, range(24)))

    assert len(set(given)) == 24
    assert {ip: row.owner for ip, row in journals[0].rows().items()} == dict(
        zip(given, owners, strict=True)
    )


def test_what_one_gives_back_or_leaves_another_sees(books):
    one, two = SharedJournal(books()), SharedJournal(books())
    one.allot("a", b"h", lambda _: "10.0.0.1")
    two.allot("b", b"h", lambda _: "10.0.0.2")

    assert two.free("a", 60.0, lambda handle: handle == b"h") == "10.0.0.1"
    assert one.keep("b", lambda _: True) == "10.0.0.2"

    assert [(row.owner, row.free_at_s, row.handle) for row in one.rows().values()] == [
        ("a", 60.0, b""), ("b", None, b""),
    ]  # fmt: skip
    assert one.rows() == two.rows()
    assert one.free("c", 60.0, lambda _: True) == ""


def test_a_document_that_no_server_would_take_is_refused_and_the_one_there_stays(books):
    there = books()
    there.change(lambda _: b"kept")

    with pytest.raises(Refused, match="1000001 bytes"):
        there.change(lambda _: bytes(1_000_001))

    assert there.read() == b"kept"


def test_what_is_no_list_of_addresses_is_left_alone(books):
    there = books()
    there.change(lambda _: b"of somebody else")

    with pytest.raises(EngineError, match="no list of addresses"):
        SharedJournal(there).allot("a", b"", lambda _: "10.0.0.1")
    assert there.read() == b"of somebody else"


def test_an_ensemble_that_does_not_answer_is_said_in_time_and_asked_again_later(
    books, zookeeper, monkeypatch
):
    monkeypatch.setattr(book, "WITHIN_S", 1.0)
    there = books()
    there.change(lambda _: b"before")
    zookeeper.freeze()
    try:
        began_s = time.monotonic()
        with pytest.raises(Unreachable, match="no ZooKeeper server answers"):
            there.read()
        assert time.monotonic() - began_s < 5
    finally:
        zookeeper.thaw()
    monkeypatch.setattr(book, "WITHIN_S", 20.0)
    assert there.read() == b"before"

    monkeypatch.setattr(book, "WITHIN_S", 0.5)
    with pytest.raises(Unreachable):
        Book((f"127.0.0.1:{free_port()}",), "/x").read()


async def test_pools_on_two_hosts_give_no_address_twice_also_to_machines_of_one_name(
    tmp_path, site, zookeeper
):
    async with engines(tmp_path / "state", 2, threads=True) as (_network, both):
        for engine in both:
            await engine.deploy("app", compiled(site))

        machines = [_live(engine, "vm") for engine in both]
        assert {live.state for live in machines} == {State.STARTED}
        addresses = [live.value("address") for live in machines]
        assert len(set(addresses)) == 2
        pool = _live(both[0], "pool").prim
        assert await pool.allotments() == {
            ip: f"{engine.process.node_name}:app:vm"
            for ip, engine in zip(addresses, both, strict=True)
        }

        await both[0].terminate("app")
        pool = _live(both[1], "pool").prim
        assert list(await pool.allotments()) == [addresses[1]]
        await both[0].deploy("app", compiled(site))
        assert _live(both[0], "vm").value("address") == addresses[0]
        for engine in both:
            await engine.terminate("app")

    client = KazooClient(zookeeper.hosts[0])
    client.start(10)
    try:
        name = site.rpartition(" ")[2].strip('";')
        assert b'"free_at_s"' in client.get(f"/smartdomains/addresses/{name}")[0]
    finally:
        client.stop()
        client.close()


async def test_a_reserved_address_is_for_its_machine_on_any_host(tmp_path, site):
    more = f'{site} reserved [|[|"app:vm", "10.40.0.5"|]|];'
    async with engines(tmp_path / "state", 1, threads=True) as (_network, (one,)):
        await one.deploy("app", compiled(more))
        assert _live(one, "vm").value("address") == "10.40.0.5"
        await one.terminate("app")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("", "needs a poolName"),
        ('poolName "x"; servers [|"nowhere"|];', 'servers as "host:port"'),
        ('poolName "x"; root "addresses";', "absolute path"),
    ],
)
async def test_what_names_no_book_is_refused_before_anything_is_made(tmp_path, more, words):
    async with engines(tmp_path / "state", 1, threads=True) as (_network, (one,)):
        with pytest.raises(BadDescription, match=words):
            await one.deploy("app", compiled(more))


async def test_without_its_ensemble_a_machine_is_not_made_and_the_error_names_the_servers(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(book, "WITHIN_S", 0.5)
    port = free_port()
    more = f'poolName "x"; servers [|"127.0.0.1:{port}"|];'
    async with engines(tmp_path / "state", 1, threads=True) as (_network, (one,)):
        with pytest.raises(EngineError, match=f"no ZooKeeper server answers at 127.0.0.1:{port}"):
            await one.deploy("app", compiled(more))
        assert one.process.lives == {}


def _live(engine, name):
    return next(live for live in engine.process.lives.values() if live.name == name)


async def test_a_pool_looks_after_its_own_machines_and_seldom_after_those_of_others(tmp_path, site):
    async with engines(tmp_path / "state", 1, threads=True) as (_network, (one,)):
        await one.deploy("app", compiled(site))
        pool = _live(one, "pool").prim
        journal, _ = pool.service(Journals).of(pool)
        handle = pool.handle
        gone = type(handle)(type(handle.ident)(handle.ident.daemon, "0" * 16), handle.address, "x")
        for owner, ip in (
            (f"{one.process.node_name}:x", "10.40.0.2"),
            ("elsewhere:x", "10.40.0.3"),
        ):
            journal.allot(owner, msgspec.msgpack.encode(gone), lambda _, ip=ip: ip)

        def in_use():
            return {row.owner for row in journal.rows().values() if row.free_at_s is None}

        pool._looks = 1
        await pool.look_for_lost()
        assert "elsewhere:x" in in_use()
        assert f"{one.process.node_name}:x" not in in_use()
        pool._looks = 0
        await pool.look_for_lost()
        assert "elsewhere:x" not in in_use()
        await one.terminate("app")


def test_a_change_that_others_are_always_quicker_than_is_given_up_and_says_why(books, monkeypatch):
    monkeypatch.setattr(book, "CHANGED_WITHIN_S", 0.3)
    one, two = books(), books()

    def edit(data):
        two.change(lambda there: there + b"2")
        return data + b"1"

    with pytest.raises(Unreachable, match="changed by others all the time"):
        one.change(edit)
    assert b"1" not in one.read()
