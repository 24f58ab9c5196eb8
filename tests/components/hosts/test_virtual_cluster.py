"""A cluster comes up, is scaled, loses members, is renewed and ends as one; its members go where said."""

from __future__ import annotations

import asyncio
import json

import pytest

import sfdl
from components.hypervisor.pool import HypervisorPool
from engine.core.faults import EngineError
from engine.core.lifecycle import State
from engine.testing.kit import Rule, begin, engines, until, virtual_time
from engine.wire.codec import flatten
from engine.wire.messages import Update
from sfdl.errors import SmartDomainsError
from sfdl.values import Vector
from tests.components.conftest import placed

URI = "test:///default"
HEAD = """
#include "components/vm.sf"
File extends Prim {{ sfClass "engine.testing.components.FileMaker"; }}
Signal extends Prim {{ sfClass "engine.testing.components.Signaller"; }}
Guest extends KvmDomain {{ diskless true; memory 64; domainLivenessDelay 200; }}
sfConfig extends Compound {{
    hypervisorUri "test:///default"; sfSyncTerminate true;
    pool extends VirtualCluster {{ {more} }}
}}
"""
GUESTS = "template extends Guest;"


def text(more):
    return HEAD.format(more=more)


def root(more):
    return sfdl.compile(text(more)).root


async def ours(process):
    lines = await process.services.get(HypervisorPool).get(URI)
    return sorted(facts.name for facts in await lines.facts() if facts.name != "test")


def names(*numbers):
    return [f"app-pool-wn{number:03}" for number in numbers]


def state_of(bench):
    return bench.find("pool")


async def settled(bench, *numbers):
    """Wait until exactly these members are there and ready, on the hypervisor and in the tree."""
    pool = state_of(bench)
    wanted = [f"wn{number:03}" for number in numbers]
    await until(
        lambda: sorted(pool.children) == wanted and all(c.ready for c in pool.children.values())
    )
    assert await ours(bench.holder.process) == names(*numbers)
    await until(lambda: sorted(pool.value("members").items) == wanted)
    await until(lambda: pool.value("ready") == len(numbers))


async def test_it_scales_up_and_down_while_it_runs_newest_first_and_leaves_nothing(bench):
    await bench.deploy(text(f"count 2; {GUESTS}"))
    await settled(bench, 1, 2)

    await bench.one.set("app:pool", "count", 5)
    await settled(bench, 1, 2, 3, 4, 5)
    await bench.one.set("app:pool", "count", 1)
    await settled(bench, 1)
    await bench.holder.call("app:pool", "scale", 2)
    await settled(bench, 1, 2)

    assert bench.find("wn002").value("index") == 2
    gone = await bench.one.terminate("app")
    assert (gone.leftovers, gone.errors) == ((), ())
    assert await ours(bench.holder.process) == []


async def crash(bench, name):
    lines = await bench.holder.process.services.get(HypervisorPool).get(URI)
    uuid = bench.find(name).value("uuid")
    await lines.destroy(uuid, gentle=False)


async def test_a_member_that_fails_ends_all_where_nothing_else_is_said(bench):
    await bench.deploy(text(f"count 3; {GUESTS}"))
    await crash(bench, "wn002")

    await until(lambda: not bench.one.process.apps)
    assert bench.one.process.ended_application("app").type == "abnormal"
    assert await ours(bench.holder.process) == []


async def test_a_member_that_fails_is_replaced_by_one_of_its_name(bench):
    await bench.deploy(text(f'count 3; onMemberFailure "replace"; replaceDelay "50ms"; {GUESTS}'))
    before = bench.find("wn002").id
    await crash(bench, "wn002")

    await until(lambda: any(live.name == "wn002" and live.id != before and live.ready
                            for live in bench.holder.process.lives.values()))  # fmt: skip
    await settled(bench, 1, 2, 3)
    await bench.one.terminate("app")


async def test_a_member_that_fails_is_left_out_where_that_is_ignored(bench):
    await bench.deploy(text(f'count 3; onMemberFailure "ignore"; minReady 1; {GUESTS}'))
    await crash(bench, "wn002")

    await settled(bench, 1, 3)
    pool = state_of(bench)
    assert pool.ready
    await bench.one.terminate("app")


async def test_more_replacements_than_bearable_end_it(bench):
    limits = 'onMemberFailure "replace"; replaceDelay "10ms"; replaceLimit 1;'
    await bench.deploy(text(f"count 1; {limits} {GUESTS}"))
    before = bench.find("wn001").id
    await crash(bench, "wn001")
    await until(lambda: any(live.name == "wn001" and live.id != before and live.ready
                            for live in bench.holder.process.lives.values()))  # fmt: skip
    await crash(bench, "wn001")

    await until(lambda: not bench.one.process.apps)
    assert "more than 1 replacements" in bench.one.process.ended_application("app").description


async def test_all_have_reserved_before_one_is_made_and_none_is_left_if_one_cannot(bench):
    with pytest.raises(EngineError, match="maxDomains is 2") as failure:
        await bench.deploy(text(f"count 3; maxDomains 2; minReady 1; allOrNothing true; {GUESTS}"))

    assert any(fault.where.startswith("app:pool:wn") for fault in failure.value.fault.chain())
    assert await ours(bench.holder.process) == []
    assert not (bench.work / "console").exists()
    assert bench.holder.process.lives == {}


async def test_as_many_as_are_to_be_ready_are_enough(bench):
    await bench.deploy(text(f"count 3; maxDomains 2; minReady 2; {GUESTS}"))

    pool = state_of(bench)
    await until(lambda: pool.ready)
    assert len(await ours(bench.holder.process)) == 2
    assert "maxDomains is 2" in pool.value("lastError")
    await bench.one.terminate("app")


async def test_fewer_than_are_to_be_ready_fail_the_start(bench):
    with pytest.raises(EngineError, match="maxDomains is 2"):
        await bench.deploy(text(f"count 4; maxDomains 2; minReady 3; {GUESTS}"))
    assert await ours(bench.holder.process) == []


async def test_the_start_waits_until_so_many_are_ready_and_not_for_ever(bench):
    slow = 'template extends Signal { sfReadyWhen "signal"; readyAfter -1; } readyTimeout "300ms";'
    with pytest.raises(EngineError, match=r"0 members are ready after .* 2 are to be"):
        await bench.deploy(text(f"count 2; {slow}"))

    assert bench.holder.process.lives == {}


@pytest.mark.parametrize(
    ("order", "waves"),
    [("parallel", 1), ("sequential", 4), ("waves:3", 2)],
)
async def test_members_are_started_in_the_order_that_is_said(bench, order, waves):
    lines = await bench.holder.process.services.get(HypervisorPool).get(URI)
    running, most, begun = 0, 0, []
    start = lines.start

    async def counting(uuid, *, paused=False):
        nonlocal running, most
        running += 1
        most = max(most, running)
        begun.append(uuid)
        await asyncio.sleep(0.6)
        await start(uuid, paused=paused)
        running -= 1

    lines.start = counting
    await bench.deploy(text(f'count 4; startOrder "{order}"; {GUESTS}'))

    assert most == {1: 4, 4: 1, 2: 3}[waves]
    order_of = [bench.find(f"wn{number:03}").value("uuid") for number in range(1, 5)]
    if waves > 1:
        assert begun[-1] == order_of[-1]
    await bench.one.terminate("app")


async def test_named_members_stand_beside_the_template_and_addresses_are_told(bench):
    front = 'front extends Guest { ip "192.168.122.7"; netmask "255.255.255.0"; hostname "www"; }'
    await bench.deploy(text(f"count 1; {front} {GUESTS}"))
    pool = state_of(bench)

    assert await ours(bench.holder.process) == ["app-pool-front", *names(1)]
    await until(lambda: "addresses" in pool.changes and pool.value("addresses").items)
    assert pool.value("addresses").items == ("192.168.122.7",)
    assert pool.value("hostsFile") == "192.168.122.7\twww\n"
    await bench.one.set("app:pool", "count", 0)
    await until(lambda: list(pool.children) == ["front"])
    await bench.one.terminate("app")


async def test_members_get_addresses_from_the_pool_of_the_cluster(bench):
    pool = 'lan extends IpPool { subnets [|"10.40.0.0/29"|]; gateway "10.40.0.1"; } pool extends'
    members = f'count 2; ipPool LAZY ATTRIB lan; startOrder "sequential"; {GUESTS}'
    await bench.deploy(text(members).replace("pool extends", pool, 1))
    cluster = state_of(bench)

    await until(lambda: len(cluster.changes.get("addresses", Vector(())).items) == 2)
    first, second = (bench.find(name).value("address") for name in ("wn001", "wn002"))
    assert first != second
    assert {first, second} < {f"10.40.0.{last}" for last in range(2, 7)}
    assert cluster.value("hostsFile") == f"{first}\twn001\n{second}\twn002\n"
    await bench.one.terminate("app")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("count 2;", "template must be a component"),
        ("count 2; template 5;", "template must be a component"),
        (f"count -1; {GUESTS}", "at least 0"),
        (f'count 1; namePattern "wn"; {GUESTS}', "must be a name with {i}"),
        (f'count 1; startOrder "waves:0"; {GUESTS}', "must be parallel, sequential or waves:N"),
        (f'count 1; onMemberFailure "repair"; {GUESTS}', "must be one of terminate"),
        (f'count 1; placement "spred"; {GUESTS}', 'did you mean "spread"'),
        (f"count 1; minReady 2; {GUESTS}", "minReady 2 is more than the 1 members"),
        (f"count 1; wn001 extends Guest; {GUESTS}", "wn001 is a member by namePattern"),
        ('count 1; hosts [|"a"|]; template extends Guest { sfProcessHost "b"; }', "names a host"),
        ("count 1; template extends Guest { memory 0; }", "at least"),
    ],
)
async def test_what_contradicts_itself_is_refused_before_anything_is_made(bench, more, words):
    with pytest.raises(SmartDomainsError) as failure:
        await bench.deploy(text(more))

    assert words in str(failure.value)
    assert bench.one.process.lives == bench.two.process.lives == {}


async def test_a_new_number_that_needs_a_taken_name_is_refused(bench):
    await bench.deploy(text(f"count 1; wn003 7; {GUESTS}"))
    with pytest.raises(EngineError, match="wn003 is a member by namePattern"):
        await bench.one.set("app:pool", "count", 3)

    await settled(bench, 1)
    await bench.one.terminate("app")


# -- on several hosts


def on_hosts(placement, count, more=""):
    return root(f'count {count}; hosts [|"host1", "host2"|]; placement "{placement}"; {more}')


def spread_over(one, two):
    there = []
    for engine in (one, two):
        lives = engine.process.lives.values()
        there.append(sorted(live.name for live in lives if live.name.startswith("wn")))
    return there


SIGNALS = 'template extends Signal { sfReadyWhen "started"; }'
STAYING = 'template extends Signal { sfReadyWhen "started"; sfOrphanPolicy "keep"; }'
FILES = 'template extends File { file "/tmp/none"; }'


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        ("spread", [["wn001", "wn003", "wn005"], ["wn002", "wn004"]]),
        ("any", [["wn001", "wn003", "wn005"], ["wn002", "wn004"]]),
        ("pack", [["wn001", "wn002", "wn003", "wn004", "wn005"], []]),
    ],
)
async def test_members_go_to_the_hosts_as_placement_says(tmp_path, placement, expected):
    signal = 'template extends Signal { sfReadyWhen "started"; }'
    async with engines(tmp_path, 2, threads=True) as (_, (one, two)):
        await one.deploy("app", on_hosts(placement, 5, signal))

        assert spread_over(one, two) == expected
        await one.set("app:pool", "count", 1)
        await until(lambda: spread_over(one, two) == [["wn001"], []])
        await one.terminate("app")
        assert one.process.lives == two.process.lives == {}


async def test_a_host_that_is_full_passes_the_member_on_and_none_is_told_with_all_reasons(tmp_path):
    more = f"maxDomains 2; {GUESTS}"
    async with engines(tmp_path, 2, threads=True) as (_, (one, two)):
        with pytest.raises(EngineError) as failure:
            await one.deploy("app", on_hosts("pack", 5, more))
        text = failure.value.fault.message
        assert "no host takes wn005: host1: " in text
        assert text.count("maxDomains is 2") == 2
        assert one.process.lives == two.process.lives == {}

        await one.deploy("app", on_hosts("pack", 4, more))
        assert spread_over(one, two) == [["wn001", "wn002"], ["wn003", "wn004"]]
        await one.terminate("app")


def members_kept(pool):
    """Those the cluster would find again after a restart."""
    return json.loads(pool.value("sfFlowState") or '{"state": {"up": []}}')["state"]["up"]


async def test_after_a_restart_all_members_go_on_and_it_can_be_scaled(tmp_path):
    async with engines(tmp_path, 1, threads=True) as (network, (one,)):
        await one.deploy("app", root(f"count 2; {GUESTS}"))
        await one.set("app:pool", "count", 3)
        await until(
            lambda: {"wn003"} <= {live.name for live in one.process.lives.values() if live.ready}
        )
        before = {live.path: live.id for live in one.process.lives.values()}
        old = one.process
        network.kill(old)
        peers = {"host1": "host1:3800"}
        again = await begin(network, tmp_path / "host1", "host1", "host1:3800", peers, threads=True)
        try:
            assert {live.path: live.id for live in again.process.lives.values()} == before
            assert await ours(again.process) == names(1, 2, 3)
            await again.set("app:pool", "count", 1)
            pool = next(live for live in again.process.lives.values() if live.name == "pool")
            await until(lambda: list(pool.children) == ["wn001"])
            await again.terminate("app")
            assert await ours(again.process) == []
        finally:
            network.verbs.pop("host1:3800", None)
            await again.process.stop()
            await old.services.close()


async def test_a_member_left_out_at_the_start_is_no_phantom_after_a_restart(tmp_path):
    async with engines(tmp_path, 1, threads=True) as (network, (one,)):
        await one.deploy(
            "app", root(f'count 3; maxDomains 2; minReady 2; onMemberFailure "ignore"; {GUESTS}')
        )
        old = one.process
        network.kill(old)
        peers = {"host1": "host1:3800"}
        again = await begin(network, tmp_path / "host1", "host1", "host1:3800", peers, threads=True)
        try:
            pool = next(live for live in again.process.lives.values() if live.name == "pool")
            assert len(pool.children) == 2
            await again.terminate("app")
        finally:
            network.verbs.pop("host1:3800", None)
            await again.process.stop()
            await old.services.close()


def updatable(more):
    return text(more).replace(
        "sfConfig extends Compound {", "sfConfig extends Compound { sfUpdatable true;"
    )


async def update(bench, more):
    new = sfdl.compile(updatable(more)).root
    if bench.holder is bench.two:
        new = placed(new, "host2")
    return await bench.one.submit(Update("app", flatten(new)))


async def test_an_update_of_the_template_renews_the_members_in_turn(bench):
    head = "sfMinReadyTime 0.1; count 3;"
    await bench.deploy(updatable(f"{head} template extends Guest {{ vcpus 1; }}"))
    ids = {bench.find(f"wn{number:03}").id for number in (1, 2, 3)}

    await update(bench, f"{head} template extends Guest {{ vcpus 2; }}")

    await settled(bench, 1, 2, 3)
    now = [bench.find(f"wn{number:03}") for number in (1, 2, 3)]
    assert {live.value("vcpus") for live in now} == {2}
    assert ids.isdisjoint(live.id for live in now)
    await bench.one.terminate("app")


async def test_an_update_of_the_number_scales_and_renews_nobody(bench):
    await bench.deploy(updatable(f"count 1; {GUESTS}"))
    before = bench.find("wn001").id

    await update(bench, f"count 2; {GUESTS}")

    await settled(bench, 1, 2)
    assert bench.find("wn001").id == before
    await bench.one.terminate("app")


async def test_a_bad_template_leaves_the_others_as_they_were_where_that_is_wished(bench):
    head = 'sfMinReadyTime 0.1; count 2; sfUpdateFailure "revert";'
    await bench.deploy(updatable(f"{head} template extends Guest {{ vcpus 1; }}").replace(
        "sfUpdatable true;", 'sfUpdatable true; sfUpdateFailure "revert";'))  # fmt: skip
    with pytest.raises(EngineError):
        await update(bench, f'{head} template extends Guest {{ kernel "/nowhere"; }}')

    await settled(bench, 1, 2)
    await bench.one.terminate("app")


# -- a host that does not answer


async def virtually(condition, bound_s=300):
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():
        assert loop.time() - began < bound_s, f"not within {bound_s} virtual seconds"
        await asyncio.sleep(0.05)


def lone(network, host):
    """Let nothing pass between a host and the one of the cluster."""
    network.rules.append(Rule("cut", to=f"{host}:3800", times=-1))
    network.sever(f"{host}:3800", "host1:3800")


def on_others(more):
    head = 'count 2; hosts [|"host2", "host3"|]; onMemberFailure "replace"; replaceDelay "1s";'
    return root(f"sfLivenessDelay 2; {head} {more}")


def there(engine):
    return {live.name for live in engine.process.lives.values() if live.name.startswith("wn")}


def test_a_member_on_a_host_that_does_not_answer_is_replaced_elsewhere_after_the_fence_time(
    tmp_path,
):
    async def story():
        async with engines(tmp_path, 3) as (network, (one, two, three)):
            await one.deploy("app", on_others(SIGNALS))
            assert (there(two), there(three)) == ({"wn001"}, {"wn002"})

            lone(network, "host2")
            await virtually(lambda: there(three) == {"wn001", "wn002"})

            assert there(two) == set(), "two copies ran at the same time"
            await virtually(lambda: one_of(one, "pool").ready)
            await one.terminate("app")

    virtual_time(story())


def one_of(engine, name):
    return next(live for live in engine.process.lives.values() if live.name == name)


def test_what_may_still_run_there_is_made_elsewhere_only_once_its_host_is_said_to_be_off(tmp_path):
    async def story():
        async with engines(tmp_path, 3) as (network, (one, two, three)):
            await one.deploy("app", on_others(STAYING))
            with pytest.raises(EngineError, match="host2 answers, so it is not off"):
                await one.set("app:pool", "hostsOff", Vector(("host2",)))

            lone(network, "host2")
            pool = one_of(one, "pool")
            await virtually(lambda: "not confirmed gone" in str(pool.value("lastError")))
            await asyncio.sleep(600)
            assert (there(two), there(three)) == ({"wn001"}, {"wn002"})

            await one.set("app:pool", "hostsOff", Vector(("host2",)))
            await virtually(lambda: there(three) == {"wn001", "wn002"})
            network.rules.clear()
            network.severed.clear()
            await virtually(lambda: there(two) == set())  # whoever comes back ends what it has
            await one.terminate("app")

    virtual_time(story())


async def test_members_leave_a_host_that_is_taken_off_the_list_one_at_a_time(tmp_path):
    signal = 'template extends Signal { sfReadyWhen "started"; }'
    async with engines(tmp_path, 2, threads=True) as (_, (one, two)):
        await one.deploy("app", on_hosts("spread", 4, signal))
        pool = one_of(one, "pool")
        least = []

        def moved():
            least.append(sum(child.state is State.STARTED for child in pool.children.values()))
            return spread_over(one, two)[1] == [] and least[-1] == 4

        await one.set("app:pool", "hosts", Vector(("host1",)))
        await until(moved, timeout_s=30)

        assert spread_over(one, two) == [["wn001", "wn002", "wn003", "wn004"], []]
        assert min(least) >= 3
        await one.set("app:pool", "count", 5)
        await until(lambda: len(spread_over(one, two)[0]) == 5)
        await one.terminate("app")


async def test_a_member_that_no_other_host_takes_is_tried_again_until_one_does(tmp_path):
    async with engines(tmp_path, 2, threads=True) as (_, (one, two)):
        more = 'onMemberFailure "replace"; replaceDelay "50ms"; maxDomains 1; minReady 1;'
        await one.deploy("app", on_hosts("spread", 2, f"{more} {GUESTS}"))
        await one.set("app:pool", "hosts", Vector(("host1",)))
        pool = one_of(one, "pool")
        await until(lambda: "maxDomains is 1" in str(pool.value("lastError")), timeout_s=30)

        await one.set("app:pool", "hosts", Vector(("host1", "host2")))

        await until(lambda: spread_over(one, two) == [["wn001"], ["wn002"]], timeout_s=60)
        await one.terminate("app")


def test_a_host_that_does_not_answer_at_the_start_passes_its_members_on(tmp_path):
    async def story():
        async with engines(tmp_path, 3) as (network, (one, two, three)):
            lone(network, "host2")

            await one.deploy("app", on_others(STAYING))

            assert (there(two), there(three)) == (set(), {"wn001", "wn002"})
            network.rules.clear()
            network.severed.clear()
            await one.terminate("app")

    virtual_time(story())
