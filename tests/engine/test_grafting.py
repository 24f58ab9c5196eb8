"""Children added to running components: they live with it, or nothing of them is left."""

from __future__ import annotations

import asyncio

import pytest

from engine.core.faults import (
    BadDescription,
    Draining,
    Ended,
    EngineError,
    NameInUse,
    NotFound,
    Refused,
)
from engine.testing.kit import begin, engines, tree, until, virtual_time
from engine.wire.codec import flatten, unflatten
from engine.wire.messages import (
    Cancel,
    Drain,
    Graft,
    Grown,
    PeersSeen,
    ReadPeers,
    ReadValue,
    Resolved,
)

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"


def graft(ref, name, description):
    return Graft(name, flatten(tree(description)), ref=ref)


def maker(tmp_path, name, **more):
    return {"sfClass": FILE, "file": str(tmp_path / name), **more}


def story(tmp_path, work):
    async def run():
        async with engines(tmp_path / "state", 2) as (network, made):
            far = {"sfClass": GROUP, "sfProcessHost": "host2", "word": "hello"}
            inner = {"sfClass": GROUP, "far": far}
            await made[0].deploy("app", {"sfClass": GROUP, "a": maker(tmp_path, "a"), "in": inner})
            await work(network, made)
            for engine in made:
                assert not engine.process.lives
                counts = engine.process.ledger.counts()
                tables = ("segments", "births", "fates", "changes", "effects")
                assert not any(counts[table] for table in tables), counts
            assert not any((tmp_path / name).exists() for name in "abcd")

    virtual_time(run())


async def reborn(network, tmp_path):
    addresses = {f"host{n}": f"host{n}:3800" for n in (1, 2)}
    folder = tmp_path / "state" / "host1"
    return await begin(network, folder, "host1", "host1:3800", addresses)


def test_a_child_that_is_coming_up_is_stopped_on_request_wherever_it_is(tmp_path):
    """Locally, through another process, with a remote part of its own, and twice."""

    async def work(network, made):
        one, _ = made
        for number, ref in enumerate(("app", "app:in:far")):
            for host in ("host1", "host2"):
                stuck = maker(tmp_path, "c", block="start", sfProcessHost=host)
                child = {"sfClass": GROUP, "b": maker(tmp_path, "b"), "c": stuck}
                id_ = f"r{number}{host}"
                growing = asyncio.ensure_future(one.submit(graft(ref, "new", child), id_))
                await until((tmp_path / "c").exists)
                for _ in range(2):
                    assert (await one.submit(Cancel(id_))).found
                with pytest.raises(Refused, match="ended by request") as refused:
                    await growing
                assert refused.value.fault.code == "SF-OP-002"
                assert refused.value.fault.undone == 3
                assert not (tmp_path / "b").exists()
                assert not (tmp_path / "c").exists()
                assert paths(await one.rows(ref))[1:] in ([], ["app:a", "app:in", "app:in:far"])
        await one.submit(graft("app", "new", {"sfClass": GROUP}))
        await one.terminate("app")

    story(tmp_path, work)


def paths(rows):
    return [row.path for row in rows]


def test_a_child_added_lives_is_taken_up_again_and_ends_with_its_parent(tmp_path):
    async def work(network, made):
        one, _two = made
        grown = await one.submit(graft("app:in", "b", maker(tmp_path, "b")))
        assert isinstance(grown, Grown)
        assert (grown.components, grown.root.name) == (1, "app:in:b")
        assert (tmp_path / "b").exists()
        network.verbs.pop("host1:3800")
        await one.process.stop()
        made[0] = again = await reborn(network, tmp_path)
        assert "app:in:b" in paths(await again.rows("app"))
        await again.terminate("app")

    story(tmp_path, work)


def test_a_child_is_added_where_its_parent_is_and_itself_may_be_elsewhere(tmp_path):
    async def work(_, made):
        one, _two = made
        grown = await one.submit(graft("app:in:far", "b", maker(tmp_path, "b")))
        assert grown.hosts == ("host2:3800",)
        grown = await one.submit(graft("app:in", "c", maker(tmp_path, "c", sfProcessHost="host2")))
        assert grown.hosts == ("host2:3800",)
        assert paths(await one.rows("app"))[-2:] == ["app:in:far:b", "app:in:c"]
        await one.terminate("app")

    story(tmp_path, work)


def test_a_child_that_fails_leaves_nothing_and_its_name_is_free(tmp_path):
    async def work(_, made):
        one, _two = made
        for where in ("deploy", "start"):
            with pytest.raises(EngineError, match="told to fail"):
                await one.submit(graft("app:in", "b", maker(tmp_path, "b", fail=where)))
            assert not (tmp_path / "b").exists()
        assert "app:in:b" not in paths(await one.rows("app"))
        await one.submit(graft("app:in", "b", maker(tmp_path, "b")))
        await one.terminate("app")

    story(tmp_path, work)


def test_what_cannot_be_a_parent_now_refuses(tmp_path):
    async def work(_, made):
        one, _two = made
        child = maker(tmp_path, "b")
        with pytest.raises(BadDescription, match="FileMaker has no children"):
            await one.submit(graft("app:a", "b", child))
        with pytest.raises(NameInUse, match="a is in use in app"):
            await one.submit(graft("app", "a", child))
        with pytest.raises(EngineError, match="no name for a component"):
            await one.submit(graft("app", "x:y", child))
        with pytest.raises(NotFound):
            await one.submit(graft("app:no", "b", child))
        await one.submit(Drain())
        with pytest.raises(Draining):
            await one.submit(graft("app:in", "b", child))
        await one.submit(Drain(on=False))
        await one.terminate("app")

    story(tmp_path, work)


def test_a_parent_that_ends_meanwhile_takes_the_new_child_along(tmp_path):
    async def work(_, made):
        one, _two = made
        blocked = graft("app:in", "b", maker(tmp_path, "b", block="start"))
        adding = asyncio.ensure_future(one.submit(blocked))
        await asyncio.sleep(1)
        await one.terminate("app")
        with pytest.raises(Ended):
            await adding

    story(tmp_path, work)


def test_time_that_runs_out_undoes_the_child(tmp_path):
    async def work(_, made):
        one, _two = made
        blocked = graft("app:in", "b", maker(tmp_path, "b", block="start"))
        with pytest.raises(EngineError):
            await one.submit(blocked, budget_s=3.0)
        assert "app:in:b" not in paths(await one.rows("app"))
        await one.terminate("app")

    story(tmp_path, work)


def test_a_crash_in_the_middle_leaves_the_parent_as_it_was(tmp_path):
    async def work(network, made):
        one, _two = made
        blocked = graft("app:in", "b", maker(tmp_path, "b", block="start"))
        adding = asyncio.ensure_future(one.submit(blocked))
        await asyncio.sleep(1)
        network.kill(one.process)
        adding.cancel()
        made[0] = again = await reborn(network, tmp_path)
        await asyncio.sleep(5)
        assert paths(await again.rows("app")) == ["app", "app:a", "app:in", "app:in:far"]
        assert not (tmp_path / "b").exists()
        await again.submit(graft("app:in", "b", maker(tmp_path, "b")))
        await again.terminate("app")

    story(tmp_path, work)


def test_a_path_leads_to_a_value_or_component_wherever_it_is(tmp_path):
    async def work(_, made):
        one, two = made

        async def at(engine, ref):
            found = await engine.process.reader.read(ReadValue(ref))
            assert isinstance(found, Resolved)
            return found.handle.name if found.handle else unflatten(found.value).get("value")

        assert await at(one, "app") == "app"
        assert await at(one, "app:in:far") == "app:in:far"
        assert await at(one, "app:in:far:word") == "hello"
        assert await at(one, "app:a:written") == str(tmp_path / "a")
        assert await at(two, "HOST host1:app") == "app"
        with pytest.raises(NotFound, match="no nothing in app:in:far"):
            await at(one, "app:in:far:nothing")
        assert paths(await two.rows("HOST host1:app:in"))[0] == "app:in"
        await one.terminate("app")

    story(tmp_path, work)


def test_a_process_says_how_its_peers_answer(tmp_path):
    async def work(network, made):
        one, two = made
        seen = await one.process.reader.read(ReadPeers())
        assert isinstance(seen, PeersSeen)
        assert [(row.name, row.state, row.components) for row in seen.rows] == [
            ("host2", "running", 1)
        ]
        await one.terminate("app")
        network.verbs.pop(two.process.address)
        seen = await one.process.reader.read(ReadPeers())
        assert [row.state for row in seen.rows] == ["unreachable"]

    story(tmp_path, work)
