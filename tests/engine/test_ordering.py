"""In which order children come to life and end: declaration, sfDependsOn, plain references."""

from __future__ import annotations

import pytest

from engine.core.dependencies import Edge, edges
from engine.core.faults import BadDescription, EngineError
from engine.core.ordering import order
from engine.testing.kit import engines, lazy, tree, virtual_time

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"
SIGNALLER = "engine.testing.components.Signaller"


def found(children, path=("app",), implicit=True, **above):
    table = dict(tree({**above, **children}).attributes)
    return {
        (edge.child, edge.on, edge.firm)
        for edge in edges(table, tuple(children), path, implicit=implicit)
    }


# -- which references make edges


def test_a_bare_word_is_looked_up_from_its_holder_upwards():
    assert found({"db": {}, "web": {"store": lazy("db")}}) == {("web", "db", False)}
    assert found({"db": {}, "web": {"db": 3, "store": lazy("db")}}) == set()


def test_a_reference_deep_inside_counts_for_the_child_it_is_in():
    deep = {"inner": {"innermost": {"store": lazy("db:table")}}}
    assert found({"db": {"table": {}}, "web": deep}) == {("web", "db", False)}


def test_parent_steps_up_and_root_starts_at_the_top():
    assert found({"db": {}, "web": {"x": {"store": lazy("PARENT:PARENT:db")}}}) == {
        ("web", "db", False)
    }
    assert found({"db": {}, "web": {"store": lazy("ROOT:rack:db")}}, ("app", "rack")) == {
        ("web", "db", False)
    }
    assert found({"db": {}, "web": {"store": lazy("ROOT:other:db")}}, ("app", "rack")) == set()


def test_a_word_of_the_compound_that_leads_to_a_child_counts():
    assert found({"db": {}, "web": {"store": lazy("backend")}}, backend=lazy("db")) == {
        ("web", "db", False)
    }


def test_what_leaves_the_compound_makes_no_edge():
    assert found({"db": {}, "web": {"store": lazy("PARENT:PARENT:db")}}) == set()


def test_depends_on_is_firm_also_beside_a_plain_reference():
    web = {"store": lazy("db"), "sfDependsOn": [lazy("db")]}
    assert found({"db": {}, "web": web}) == {("web", "db", True)}
    assert found({"db": {}, "web": {"store": lazy("db")}}, implicit=False) == set()


# -- what order they give


def test_a_circle_of_sf_depends_on_is_refused_with_the_circle():
    circle = [Edge("a", "b", True), Edge("b", "c", True), Edge("c", "a", True)]
    with pytest.raises(BadDescription, match=r"a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c"):
        order(("a", "b", "c"), circle, together=False)


def test_plain_references_in_a_circle_are_dropped_with_a_warning():
    both = [Edge("a", "b", False), Edge("b", "a", False), Edge("c", "a", False)]
    result = order(("c", "a", "b"), both, together=True)
    assert result.waves == (("a", "b"), ("c",))
    assert len(result.warnings) == 2


def test_one_at_a_time_declaration_stands_against_a_plain_reference():
    result = order(("web", "db"), [Edge("web", "db", False)], together=False)
    assert result.waves == (("web",), ("db",))
    assert result.warnings == ("web refers to db, which starts after it",)


def test_several_at_a_time_go_in_generations():
    wanted = [Edge("web", "db", True), Edge("web", "cache", False), Edge("lb", "web", True)]
    assert order(("lb", "web", "db", "cache"), wanted, together=True).waves == (
        ("db", "cache"),
        ("web",),
        ("lb",),
    )


# -- what that does to a tree


def started(one):
    return [
        event.path
        for event in one.process.events._ring
        if getattr(event.body, "state", "") == "started"
    ]


def ended(one):
    return [
        event.path
        for event in one.process.events._ring
        if getattr(event.body, "state", "") == "terminated"
    ]


def test_a_dependent_waits_until_the_other_is_ready(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 2) as (_, (one, _two)):
            web = {"sfClass": FILE, "file": str(tmp_path / "web"), "sfDependsOn": [lazy("db")]}
            db = {"sfClass": SIGNALLER, "readyAfter": 7, "sfProcessHost": "host2"}
            grown = await one.deploy("app", {"sfClass": GROUP, "web": web, "db": db})
            times = dict(grown.times_ms)
            assert times["start"] >= 7000
            await one.terminate("app")

    virtual_time(story())


def test_a_dependent_of_one_that_never_gets_ready_fails_the_start(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            web = {"sfClass": FILE, "file": str(tmp_path / "web"), "sfDependsOn": lazy("db")}
            db = {"sfClass": SIGNALLER, "sfReadyTimeout": 5}
            with pytest.raises(EngineError, match="not ready within 5 s"):
                await one.deploy("app", {"sfClass": GROUP, "web": web, "db": db})
            assert not one.process.lives

    virtual_time(story())


@pytest.mark.parametrize("concurrency", [1, 0])
def test_dependents_end_before_what_they_depend_on(tmp_path, concurrency):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            description = {
                "sfClass": GROUP,
                "sfConcurrency": concurrency,
                "web": {"sfClass": GROUP, "sfDependsOn": [lazy("db")]},
                "db": {"sfClass": GROUP, "sfDependsOn": [lazy("net")]},
                "net": {"sfClass": GROUP},
            }
            await one.deploy("app", description)
            assert started(one) == ["app:net", "app:db", "app:web", "app"]
            await one.terminate("app")
            assert ended(one) == ["app:web", "app:db", "app:net", "app"]

    virtual_time(story())


def test_a_circle_is_refused_before_anything_is_made(tmp_path):
    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            a = {"sfClass": FILE, "file": str(tmp_path / "a"), "sfDependsOn": [lazy("b")]}
            b = {"sfClass": FILE, "file": str(tmp_path / "b"), "sfDependsOn": [lazy("a")]}
            with pytest.raises(BadDescription, match="runs in a circle") as failure:
                await one.deploy("app", {"sfClass": GROUP, "a": a, "b": b})
            assert failure.value.fault.where == "app"

    virtual_time(story())


def test_declared_and_reverse_order_of_ending(tmp_path):
    async def story(word):
        async with engines(tmp_path / word, 1) as (_, (one,)):
            names = {name: {"sfClass": GROUP} for name in "abc"}
            options = {"sfSyncTerminate": True, "sfTerminateOrder": word}
            await one.deploy("app", {"sfClass": GROUP, **options, **names})
            await one.terminate("app")
            return [path[-1] for path in ended(one)[:3]]

    assert virtual_time(story("declared")) == ["a", "b", "c"]
    assert virtual_time(story("reverse")) == ["c", "b", "a"]


def test_what_the_language_writes_as_a_list_of_lazy_references_orders_and_waits(tmp_path):
    from sfdl import compile as compile_text

    text = f"""
sfConfig extends {{
    sfClass "{GROUP}"; sfConcurrency 0;
    web extends {{ sfClass "{GROUP}"; sfDependsOn [LAZY db, LAZY PARENT:PARENT:net]; }}
    db extends {{ sfClass "{SIGNALLER}"; readyAfter 5; }}
    net extends {{ sfClass "{GROUP}"; }}
}}
"""

    async def story():
        async with engines(tmp_path / "state", 1) as (_, (one,)):
            root = compile_text(text).root
            grown = await one.deploy("app", root)
            assert dict(grown.times_ms)["start"] >= 5000
            assert started(one)[-2:] == ["app:web", "app"]
            assert one.process.application("app").order.firm
            await one.terminate("app")

    virtual_time(story())
