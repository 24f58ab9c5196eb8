"""Addresses of a pool: no two machines have the same one, and each gets its own again."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sfdl
from components.hypervisor.faulty import FaultyHypervisor, Raise
from components.hypervisor.pool import HypervisorPool
from components.networks.allotting import Row, Subnets, choose
from components.networks.journal import FileJournal, MemoryJournal
from engine.core.faults import EngineError, Refused
from engine.core.lifecycle import State
from engine.core.records import Record
from engine.testing.kit import engines, until
from sfdl.errors import SmartDomainsError

URI = "test:///default"
POOL = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true; hypervisorUri "test:///default";
    pool extends IpPool {{ subnets [|"10.40.0.0/29"|]; gateway "10.40.0.1"; {pool} }}
    {beside}
}}
"""
VM = """
    {name} extends KvmDomain {{
        ipPool LAZY ATTRIB pool; diskless true; memory 64; startMode "defined"; {more}
    }}
"""


def vm(name="vm", more=""):
    return VM.format(name=name, more=more)


def text(pool="", beside=""):
    return POOL.format(pool=pool, beside=beside)


def address(bench, name="vm"):
    return bench.find(name).value("address")


def there(bench, name, *states):
    """Say whether a component is there in one of these states; else whether it has started."""
    lives = bench.holder.process.lives.values()
    return any(live.name == name and live.state in (states or {State.STARTED}) for live in lives)


async def held(bench):
    pool = bench.find("pool").prim
    return await pool.allotments()


# -- decisions


@st.composite
def histories(draw):
    owners = st.sampled_from([f"app:vm{n}" for n in range(8)])
    return draw(st.lists(st.tuples(st.sampled_from(["take", "free", "wait"]), owners), max_size=60))


@pytest.mark.parametrize("kind", ["memory", "journal"])
@given(history=histories())
@settings(max_examples=60, deadline=None)
def test_whatever_happens_no_two_owners_have_one_address(tmp_path_factory, kind, history):
    pool = Subnets(
        ("10.0.0.0/29", "10.9.0.0/30"), ("10.0.0.5",), "10.0.0.1", (("vm3", "10.0.0.4"),)
    )
    file = tmp_path_factory.mktemp("journal") / "a.sqlite"
    journal = MemoryJournal() if kind == "memory" else FileJournal(file)
    has, now = {}, 0.0
    for what, owner in history:
        if what == "take":
            ip = journal.allot(
                owner, b"", lambda rows, o=owner, at=now: choose(pool, o, rows, at, "")
            )
            if owner in has:
                assert ip == has[owner]
            elif ip:
                has[owner] = ip
        elif what == "free":
            assert journal.free(owner, now + 60, lambda _: True) == has.pop(owner, "")
        else:
            now += 61
        assert len(set(has.values())) == len(has)
        for owner_, ip in has.items():
            assert pool.trouble_with(ip) == ""
            assert (ip == "10.0.0.4") == (owner_ == "app:vm3")


def test_an_owner_gets_its_address_again_also_from_a_pool_that_remembers_nothing():
    pool = Subnets(("10.0.0.0/16",))

    first = choose(pool, "app:web", {}, 0.0, "")

    assert choose(pool, "app:web", {"10.0.77.1": Row("app:db")}, 0.0, "") == first


def test_an_address_given_back_stays_with_its_owner_for_the_quarantine():
    pool = Subnets(("10.0.0.0/30",), exclude=("10.0.0.2",))
    rows = {"10.0.0.1": Row("a", free_at_s=60.0)}

    assert choose(pool, "b", rows, 59.0, "") == ""
    assert choose(pool, "a", rows, 59.0, "") == "10.0.0.1"
    assert choose(pool, "b", rows, 60.0, "") == "10.0.0.1"


# -- the component


@pytest.mark.parametrize("store", ["memory", "journal"])
async def test_a_machine_has_its_address_before_it_runs_and_others_may_refer_to_it(bench, store):
    user = 'w extends KvmDomain { diskless true; memory 64; startMode "defined"; peer LAZY ATTRIB vm:address; }'
    await bench.deploy(text(f'store "{store}";', vm() + user))

    mine = address(bench)
    assert ipaddress.ip_address(mine) in ipaddress.ip_network("10.40.0.0/29")
    assert await held(bench) == {mine: "app:vm"}
    assert bench.find("pool").value("inUse") == 1
    domain = bench.find("vm").prim
    assert (domain.netmask, domain.gateway) == ("255.255.255.248", "10.40.0.1")
    await bench.one.terminate("app")


async def test_a_redeployment_gets_the_same_address(bench):
    await bench.deploy(text(beside=vm("a") + vm("b")))
    first = address(bench, "a"), address(bench, "b")
    assert len(set(first)) == 2
    await bench.one.terminate("app")

    await bench.deploy(text(beside=vm("b") + vm("a")))

    assert (address(bench, "a"), address(bench, "b")) == first
    await bench.one.terminate("app")


async def test_an_ip_that_is_given_is_taken_from_the_pool(bench):
    await bench.deploy(text(beside=vm(more='ip "10.40.0.5";')))

    assert await held(bench) == {"10.40.0.5": "app:vm"}
    await bench.one.terminate("app")


@pytest.mark.parametrize(
    ("pool", "more", "words"),
    [
        ("", 'ip "10.41.0.5";', "does not hand out 10.41.0.5: it is no machine's address in 10.40.0.0/29"),
        ("", 'ip "10.40.0.1";', "does not hand out 10.40.0.1: it is the gateway, or excluded"),
        ('exclude [|"10.40.0.2-10.40.0.6"|];', "", "no address is left in app:pool: 0 are in use"),
        ('gateway "10.41.0.1";', "", "gateway 10.41.0.1 is outside 10.40.0.0/29"),
        ('reserved [|[|"vm", "10.40.0.1"|]|];', "", "reserved address 10.40.0.1 of vm: it is the gateway"),
        ('subnets [|"10.40.0.1/29"|];', "", "10.40.0.1/29 is no subnet"),
        ('subnets [|"10.40.0.0/29", "10.40.0.0/24"|];', "", "overlaps 10.40.0.0/29"),
        ("subnets [||];", "", "needs a subnet"),
        ('exclude [|"10.40.0.9-10.40.0.2"|];', "", "the last address comes before the first"),
        ('store "paper";', "", "must be one of memory, journal, zookeeper"),
    ],
)  # fmt: skip
async def test_what_cannot_be_is_refused_before_anything_is_made(bench, pool, more, words):
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(pool, vm(more=more)))

    assert words in str(failure.value)
    assert bench.one.process.lives == bench.two.process.lives == {}


async def test_more_machines_than_addresses_are_refused(bench):
    six = "".join(vm(f"vm{n}") for n in range(6))

    with pytest.raises(EngineError, match="no address is left in app:pool: 5 are in use"):
        await bench.deploy(text(beside=six))

    assert bench.one.process.lives == bench.two.process.lives == {}


async def test_many_who_ask_at_once_get_different_addresses(bench):
    await bench.deploy(text('subnets [|"10.40.0.0/24"|];'))
    pool = bench.find("pool").prim
    handles = [
        type(pool.handle)(pool.handle.ident, pool.handle.address, f"other:vm{n}")
        for n in range(100)
    ]

    given_ = await asyncio.gather(*(pool.allocate(handle) for handle in handles))

    assert len({one.ip for one in given_}) == 100
    await bench.one.terminate("app")


async def test_a_machine_that_ends_gives_its_address_back(bench):
    flow = text('quarantine "0s";', f"farm extends Container {{ {vm()} }}")
    await bench.deploy(flow)
    await until(lambda: bench.find("pool").value("inUse") == 1)

    bench.holder.process.finish(bench.find("vm"), Record.normal("over"))

    await until(lambda: bench.find("pool").value("inUse") == 0)
    await bench.one.terminate("app")


RUNNING = 'startMode "running"; stopTimeout 0;'


@pytest.fixture
async def stubborn(bench):
    """A hypervisor that destroys nothing, until it is put away."""
    pool = bench.holder.process.services.get(HypervisorPool)
    inner = await pool.get(URI)
    faulty = FaultyHypervisor(inner)
    faulty.fail("destroy", Raise(), times=10_000)
    faulty.fail("shutdown", Raise(), times=10_000)
    pool._open[URI] = faulty
    yield lambda: pool._open.__setitem__(URI, inner)
    pool._open[URI] = inner


async def test_an_address_stays_with_a_guest_that_cannot_be_ended_until_it_is_gone(bench, stubborn):
    flow = text('quarantine "0s";', f"farm extends Container {{ {vm(more=RUNNING)} }}")
    await bench.deploy(flow)
    await until(lambda: there(bench, "vm"))
    (mine,) = await held(bench)
    reaper = bench.holder.process.reaper

    bench.holder.process.finish(bench.find("vm"), Record.normal("over"))
    await until(
        lambda: f"address {mine}" in {item.made.effect.label() for item in reaper.items},
        timeout_s=30,
    )
    await until(lambda: not there(bench, "vm", *State))
    await bench.find("pool").prim.look_for_lost()
    assert await held(bench) == {mine: "app:farm:vm"}

    stubborn()
    for item in list(reaper.items):
        assert await reaper.retry(item)

    assert await held(bench) == {}
    await bench.one.terminate("app")


async def test_a_guest_that_goes_on_after_its_component_keeps_its_address(bench):
    leave = vm(more='startMode "running"; stopMode "leave";')
    await bench.deploy(text('quarantine "0s";', f"farm extends Container {{ {leave} }}"))
    await until(lambda: there(bench, "vm"))
    (mine,) = await held(bench)

    bench.holder.process.finish(bench.find("vm"), Record.normal("over"))
    await until(lambda: not there(bench, "vm", *State))
    pool = bench.find("pool").prim
    await pool.look_for_lost()

    assert await held(bench) == {mine: "app:farm:vm"}
    assert (await pool.allocate(pool.handle)).ip != mine
    assert await pool.take_back(mine) == "app:farm:vm"
    assert (await pool.take_back(mine), mine in await held(bench)) == ("", False)
    await bench.one.terminate("app")


async def test_an_address_of_a_machine_that_went_without_a_word_is_taken_back(bench):
    await bench.deploy(text())
    pool = bench.find("pool").prim
    gone = type(pool.handle)(
        type(pool.handle.ident)(pool.handle.ident.daemon, "0" * 16), pool.handle.address, "x:vm"
    )
    await pool.allocate(gone)
    there = pool.handle
    await pool.allocate(there)

    await pool.look_for_lost()

    assert list((await pool.allotments()).values()) == [there.name]
    await bench.one.terminate("app")


async def test_an_earlier_machine_of_that_name_cannot_give_back_what_the_present_one_has(bench):
    await bench.deploy(text())
    pool = bench.find("pool").prim
    earlier = type(pool.handle)(
        type(pool.handle.ident)(pool.handle.ident.daemon, "0" * 16), pool.handle.address, "x:vm"
    )
    present = type(pool.handle)(pool.handle.ident, pool.handle.address, "x:vm")
    first = await pool.allocate(earlier)

    assert await pool.allocate(present) == first
    assert await pool.release(earlier) == ""
    assert await pool.release(present) == first.ip
    await bench.one.terminate("app")


async def test_a_pool_serves_machines_of_another_host(tmp_path):
    body = text(beside=vm("a") + vm("b")).replace(
        "diskless true;", 'diskless true; sfProcessHost "host2";'
    )
    async with engines(tmp_path / "state", 2, threads=True) as (_network, (one, two)):
        await one.deploy("app", sfdl.compile(body).root)

        pool = next(live for live in one.process.lives.values() if live.name == "pool")
        machines = [live for live in two.process.lives.values() if live.name in {"a", "b"}]
        assert {live.state for live in machines} == {State.STARTED}
        addresses = {live.value("address"): live.path for live in machines}
        assert len(addresses) == 2
        assert await pool.prim.allotments() == addresses
        await one.terminate("app")


async def test_pools_of_one_name_share_their_addresses(bench):
    two = 'other extends IpPool { subnets [|"10.40.0.0/30"|]; poolName "site"; }'
    taken = vm("b").replace("ATTRIB pool", "ATTRIB other")
    narrow = 'subnets [|"10.40.0.0/30"|]; poolName "site"; gateway "";'
    await bench.deploy(text(narrow, two + vm("a") + taken))

    assert {address(bench, "a"), address(bench, "b")} == {"10.40.0.1", "10.40.0.2"}
    await bench.one.terminate("app")


def test_a_journal_is_there_after_a_crash_in_the_middle(tmp_path):
    journal = FileJournal(tmp_path / "a.sqlite")
    journal.allot("a", b"h", lambda _: "10.0.0.1")

    def crash(rows):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.allot("b", b"h", crash)

    rows = FileJournal(tmp_path / "a.sqlite").rows()
    assert {ip: row.owner for ip, row in rows.items()} == {"10.0.0.1": "a"}


@pytest.mark.parametrize(("pool", "asked"), [("", 0), ("probeAddress true;", 1)])
async def test_a_machine_whose_address_somebody_answers_for_is_not_made(
    bench, monkeypatch, pool, asked
):
    seen = []

    async def taken(prim, hypervisor, kind, source, ip, mac):
        seen.append((hypervisor.uri, kind, source, ip))
        raise Refused(f"{ip} is in use on br0", code="SF-NET-011", where=prim.path)

    monkeypatch.setattr("components.domains.allotment.refuse_taken", taken)
    whole = text(f'reserved [|[|"vm", "10.40.0.4"|]|]; {pool}', vm())
    if not asked:
        await bench.deploy(whole)
        await bench.one.terminate("app")
    else:
        with pytest.raises(EngineError, match=r"10\.40\.0\.4 is in use on br0"):
            await bench.deploy(whole)

    assert seen == [(URI, "network", "default", "10.40.0.4")] * asked
    assert bench.one.process.lives == bench.two.process.lives == {}
