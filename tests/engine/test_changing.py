"""Attributes of running components changed from outside: checked, watched, durable, all or none."""

from __future__ import annotations

import pytest

from engine.core.faults import (
    BadDescription,
    HookFailed,
    Kind,
    NameInUse,
    NotFound,
    Refused,
)
from engine.testing.kit import begin, engines, lazy, tree, virtual_time
from engine.wire.messages import Change, Changed, Set, as_tree
from sfdl.values import Description

GROUP = "engine.compound.Compound"
SIZED = "engine.testing.components.Sized"


def live(engine, path):
    return next(each for each in engine.process.lives.values() if each.path == path)


def put(name, value, how="replace"):
    return Change(name, how, as_tree(value))


def remove(name):
    return Change(name, "remove")


async def change(engine, ref, *changes, expect=None):
    result = await engine.submit(Set(changes, ref=ref, expect=expect))
    assert isinstance(result, Changed)
    return result


def story(tmp_path, work, count=1, **more):
    async def run():
        async with engines(tmp_path / "state", count) as (network, made):
            sized = {"sfClass": SIZED, "size": 3, **more}
            await made[0].deploy("app", {"sfClass": GROUP, "s": sized, "colour": "red"})
            await work(network, made)

    virtual_time(run())


def test_a_change_is_bound_told_and_counted(tmp_path):
    async def work(_, made):
        done = await change(made[0], "app:s", put("size", 5))
        s = live(made[0], "app:s")
        assert (s.prim.size, s.prim.grown, done.generation) == (5, "3 to 5", 1)
        (old,) = done.old
        assert dict(old.nodes[-1].attributes)["value"] == 3

    story(tmp_path, work)


def test_what_the_component_does_not_accept_is_undone_with_all_that_came_with_it(tmp_path):
    async def work(_, made):
        with pytest.raises(HookFailed, match="too big"):
            await change(made[0], "app:s", put("note", "x"), put("size", 1000))
        s = live(made[0], "app:s")
        assert s.prim.size == 3
        assert not s.has("note")
        assert s.generation == 0

    story(tmp_path, work)


@pytest.mark.parametrize(
    ("ref", "what", "error", "words"),
    [
        ("app:s", put("size", "much"), BadDescription, "whole number"),
        ("app:s", put("size", -1), BadDescription, "at least 0"),
        ("app", put("s", 1), Refused, "is a component"),
        ("app:s", put("sfState", "x"), Refused, "written by the engine"),
        ("app:s", put("grown", "x"), Refused, "written by the engine"),
        ("app:s", put("sfClass", "x"), Refused, "cannot be changed"),
        ("app:s", put("size", 1, "add"), Refused, "is there already"),
        ("app:s", remove("nothing"), NotFound, "no nothing"),
        ("app:s", put("new", tree({"sfClass": GROUP})), Refused, "would be a component"),
        ("app:nobody", put("a", 1), NotFound, "nobody"),
    ],
)
def test_what_may_not_be_changed_is_refused(tmp_path, ref, what, error, words):
    async def work(_, made):
        with pytest.raises(error, match=words):
            await change(made[0], ref, what)

    story(tmp_path, work)


def test_an_attribute_tagged_final_stays(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            root = Description((("sfClass", GROUP), ("a", 1)), (("a", frozenset({"final"})),))
            await one.deploy("app", root)
            with pytest.raises(Refused, match="cannot be changed"):
                await change(one, "app", put("a", 2))

    virtual_time(run())


def test_a_change_decided_on_old_values_is_refused(tmp_path):
    async def work(_, made):
        await change(made[0], "app:s", put("size", 4), expect=0)
        with pytest.raises(Refused, match="at generation 1, not 0"):
            await change(made[0], "app:s", put("size", 5), expect=0)

    story(tmp_path, work)


def test_changes_reach_components_of_other_processes(tmp_path):
    async def work(_, made):
        await change(made[0], "app:s", put("size", 9))
        assert live(made[1], "app:s").prim.size == 9

    story(tmp_path, work, 2, sfProcessHost="host2")


def test_a_removed_attribute_is_gone_and_its_default_counts(tmp_path):
    async def work(_, made):
        await change(made[0], "app:s", remove("size"))
        s = live(made[0], "app:s")
        assert s.prim.size == 1
        assert not s.has("size")
        assert "size" not in s.context()

    story(tmp_path, work)


def test_changes_outlast_the_daemon(tmp_path):
    async def work(network, made):
        await change(made[0], "app:s", put("size", 7), put("note", "kept"))
        await change(made[0], "app", remove("colour"))
        network.verbs.pop("host1:3800")
        await made[0].process.stop()
        made[0] = await begin(network, tmp_path / "state" / "host1", "host1", "host1:3800", {})
        assert live(made[0], "app:s").prim.size == 7
        assert live(made[0], "app:s").value("note") == "kept"
        assert not live(made[0], "app").has("colour")

    story(tmp_path, work)


def test_a_value_that_refers_elsewhere_is_followed(tmp_path):
    async def work(_, made):
        await change(made[0], "app", put("wished", 6))
        await change(made[0], "app:s", put("size", lazy("wished")))
        assert live(made[0], "app:s").prim.size == 6

    story(tmp_path, work)


def test_names_of_components_are_unique_in_a_process_and_lead_to_them(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            named = {"sfClass": GROUP, "sfProcessComponentName": "store"}
            await one.deploy("app", {"sfClass": GROUP, "s": named})
            assert (await one.process.reader.find("store")).path == "app:s"
            with pytest.raises(NameInUse, match="in use by app:s") as failure:
                await one.deploy("other", {"sfClass": GROUP, "t": named})
            assert failure.value.fault.kind is Kind.NAME_IN_USE
            with pytest.raises(NameInUse):
                await one.deploy("store", {"sfClass": GROUP})
            await one.terminate("app")
            await one.deploy("other", {"sfClass": GROUP, "t": named})

    virtual_time(run())


def test_what_is_tagged_local_is_refused_to_others(tmp_path):
    async def run():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            safe = Description(
                (("sfClass", GROUP), ("pin", 7), ("mine", lazy("pin"))),
                (("pin", frozenset({"sfLocal"})),),
            )
            await one.deploy("app", Description((("sfClass", GROUP), ("safe", safe))))
            resolver, root = one.process.resolver, live(one, "app")
            with pytest.raises(Refused, match="for itself only"):
                await resolver.resolve(root, lazy("safe:pin"))
            assert await resolver.resolve(root, lazy("safe:mine")) == 7

    virtual_time(run())
