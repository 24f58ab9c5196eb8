"""Places: who gets which, for how long, why not, and what becomes of them."""

from __future__ import annotations

import asyncio

import pytest

from components.workflow.places import Book, Demand
from components.workflow.scheduling import Scheduler
from engine.core.faults import NotFound, Refused

HOSTS = ("h1", "h2", "h3")


def book(policy="roundrobin", limit=0, ttl_s=300.0):
    return Book(policy, limit, ttl_s, "seed")


def given(it, *demands, now_s=0.0):
    return [it.reserve(demand, HOSTS, now_s).host for demand in demands]


def test_each_host_in_turn_the_first_or_the_one_with_the_fewest():
    ask = [Demand(f"app:{n}") for n in range(4)]
    assert given(book(), *ask) == ["h1", "h2", "h3", "h1"]
    assert given(book("firstfit", limit=2), *ask) == ["h1", "h1", "h2", "h2"]
    spread = book("spread")
    spread.claim(Demand("other:x"), "h1")
    assert given(spread, *ask) == ["h2", "h3", "h1", "h2"]
    assert set(given(book("random"), *ask)) <= set(HOSTS)


def test_asking_again_gives_the_same_place_unless_it_is_to_be_avoided():
    it = book()
    assert given(it, Demand("a"), Demand("a"), Demand("a", avoid=("h1",))) == ["h1", "h1", "h2"]
    assert len(it.places) == 1


def test_a_place_nobody_commits_is_free_after_its_time_and_a_committed_one_is_not():
    it = book(limit=1, ttl_s=10)
    given(it, Demand("a"), Demand("b"), Demand("c"))
    it.commit("b")
    assert given(it, Demand("d"), now_s=9.9) == [""]
    assert it.next_change_s() == 10
    assert given(it, Demand("d"), Demand("e"), Demand("f"), now_s=10.1) == ["h1", "h3", ""]
    assert not it.commit("a")


def test_groups_are_kept_apart_or_together_and_the_reasons_are_told():
    it = book()
    farm = [Demand(f"app:{n}", apart=("farm",)) for n in range(4)]
    assert given(it, *farm) == ["h1", "h2", "h3", ""]
    assert it.decisions[-1].sentence() == (
        "app:3: no host (h1: has a member of farm already; h2: has a member of farm already; "
        "h3: has a member of farm already)"
    )
    near = [Demand(f"b:{n}", beside=("pair",)) for n in range(3)]
    assert len(set(given(book(), *near))) == 1


def test_a_pinned_component_stays_and_its_place_counts():
    it = book("spread", limit=1)
    assert given(it, Demand("a", pinned="h2"), Demand("b"), Demand("c"), Demand("d")) == [
        "h2", "h1", "h3", "",
    ]  # fmt: skip


def test_siblings_are_spread_before_the_policy_is_asked():
    it = book("firstfit")
    assert given(it, *[Demand(f"app:{n}", spread=True) for n in range(3)]) == ["h1", "h2", "h3"]


def test_a_host_that_failed_is_left_out_for_a_while():
    it = book("firstfit")
    it.excluded["h1"] = 50.0
    assert given(it, Demand("a"), now_s=1) == ["h2"]
    assert given(it, Demand("b"), now_s=51) == ["h1"]


def test_only_the_last_thousand_decisions_are_kept():
    it = book()
    given(it, *[Demand(f"n{n}") for n in range(1200)])
    assert len(it.decisions) == 1000
    assert it.decisions[0].name == "n200"


TWO = 's extends Scheduler { hosts [|"host1", "host2"|]; retryDelay 0; MORE }'


def group(schedulee, more=""):
    return f"Group {{ {TWO.replace('MORE', more)} many extends Schedulee {{ scheduler LAZY s; {schedulee} }} }}"


def test_children_without_a_name_are_numbered_and_copied(stage_here):
    async def story(stage):
        await stage.start(
            group("count 2; -- extends Group; -- extends Group; named extends Group;")
        )
        assert stage.find("many").value("placements") == (
            "many-1=host1 many-2=host2 many-3=host1 many-4=host2 named=host1"
        )
        assert sorted(stage.left)[2:] == [f"app:many:many-{n}" for n in (1, 2, 3, 4)] + [
            "app:many:named",
            "app:s",
        ]
        await stage.one.terminate("app")
        assert stage.left == []

    stage_here(story)


def test_places_are_committed_and_given_back_and_outlive_a_restart(stage_here):
    async def story(stage):
        await stage.start(f"Container {{ {TWO.replace('MORE', 'limit 1;')} }}")
        await stage.until(lambda: stage.has("s"))
        await stage.create(
            "app", "many", "Schedulee { scheduler LAZY ROOT:s; a extends Group; b extends Group; }"
        )
        scheduler = stage.find("s").prim
        assert {p.expires_s for p in scheduler.book.places.values()} == {0.0}
        await stage.again()
        scheduler = stage.find("s").prim
        assert len(scheduler.book.places) == 2
        with pytest.raises(Refused, match="host1: full with 1; host2: full with 1"):
            await scheduler.reserve(Demand("more"), 0.0)
        assert "no host" in await scheduler.explain("more")
        await stage.one.terminate("app:many")
        await stage.until(lambda: not scheduler.book.places)
        with pytest.raises(NotFound, match="reserve one"):
            await scheduler.commit("more")

    stage_here(story)


def test_one_who_waits_gets_the_place_that_is_given_back(stage_here):
    async def story(stage):
        await stage.start(f"Container {{ {TWO.replace('MORE', 'limit 1;')} }}")
        await stage.until(lambda: stage.has("s"))
        await stage.create(
            "app", "many", "Schedulee { scheduler LAZY ROOT:s; a extends Group; b extends Group; }"
        )
        later = asyncio.create_task(
            stage.create(
                "app",
                "later",
                'Schedulee { scheduler LAZY ROOT:s; onNoHost "wait"; c extends Group; }',
            )
        )
        await stage.until(lambda: stage.find("s").value("waiting") == 1)
        await stage.one.terminate("app:many")
        await later
        assert stage.has("c")

    stage_here(story)


def test_without_a_queue_nobody_waits(stage_here):
    async def story(stage):
        with pytest.raises(Exception, match="no host for"):
            await stage.start(
                group(
                    'onNoHost "wait"; a extends Group; b extends Group; c extends Group;',
                    "limit 1; queue false;",
                )
            )
        assert stage.left == []

    stage_here(story)


@pytest.mark.parametrize(("gang", "left"), [("false", ["a", "b"]), ("true", [])])
def test_children_may_be_left_out_but_not_of_a_gang(stage_here, gang, left):
    async def story(stage):
        await stage.start(
            group(
                f'onNoHost "skip"; gang {gang}; a extends Group; b extends Group; c extends Group;',
                "limit 1;",
            )
        )
        assert list(stage.find("many").children) == left
        assert stage.find("s").value("reserved_places") == len(left)

    stage_here(story)


def test_a_failed_deployment_goes_to_another_host(stage_here):
    async def story(stage):
        stage.network.verbs.pop(stage.two.process.address)
        await stage.start(group("a extends Group; b extends Group;"))
        assert stage.find("many").value("placements") == "a=host1 b=host1"
        assert "host2" in stage.find("s").prim.book.excluded

    stage_here(story)


def test_hosts_may_be_those_the_daemon_knows_or_those_of_another_component(stage_here):
    async def story(stage):
        await stage.start(
            'Group { gm extends Group { hosts [|"host2"|]; } s extends Scheduler { hosts LAZY gm; }'
            ' auto extends Scheduler { hosts "auto"; }'
            " many extends Schedulee { scheduler LAZY s; a extends Group; } }"
        )
        assert stage.find("many").value("placements") == "a=host2"
        auto: Scheduler = stage.find("auto").prim
        assert await auto._all_hosts() == ("host1", "host2")

    stage_here(story)


def test_a_child_that_is_lost_with_its_host_is_made_elsewhere(stage_here):
    async def story(stage):
        await stage.start(
            group("sfLivenessDelay 1; a extends Group; b extends Group;").replace(
                "Group { s", "Group { sfLivenessDelay 1; s"
            )
        )
        assert stage.find("b").process is stage.two.process
        here, there = stage.one.process.address, stage.two.process.address
        stage.network.sever(here, there)
        stage.network.sever(there, here)
        await stage.until(
            lambda: stage.find("many").value("placements") == "a=host1 b=host1", timeout_s=300
        )
        await stage.until(
            lambda: any(live.name == "b" for live in stage.one.process.lives.values()),
            timeout_s=300,
        )
        assert stage.has("many")

    stage_here(story)
