"""Every component type there is: registered, described, shown by example, and strict about its attributes."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

import pytest

import components
import sfdl
from engine.authoring.catalogue import entries
from engine.authoring.examples import example_of, sample
from engine.authoring.pages import section
from engine.core.faults import EngineError
from engine.core.secrecy import TAG, has_secrets, secret_names
from engine.prim import Prim
from engine.runtime.attributes import REQUIRED
from engine.runtime.kinds import BadValueError
from engine.testing.components import Step
from engine.testing.kit import engines, virtual_time
from sfdl.commands.check import missing_classes
from sfdl.values import Description, Long, Vector

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
import libraries  # noqa: E402 - a script, found once its folder is known

sys.path.pop(0)

ALL = [entry for family in libraries.families().values() for entry in family]
IDS = [entry.short for entry in ALL]


def types_of_packages():
    """Give each class of our packages that has a name to be registered under."""
    for module in pkgutil.walk_packages(components.__path__, "components."):
        if ".testbed" in module.name:
            continue
        for cls in vars(importlib.import_module(module.name)).values():
            if isinstance(cls, type) and issubclass(cls, Prim) and cls.__module__ == module.name:
                yield cls


def test_every_type_of_the_packages_is_registered_under_its_name():
    registered = {entry.cls: entry.short for entry in ALL}
    named = {cls for cls in types_of_packages() if cls.type_name and "." in cls.type_name}
    bases = {base for cls in registered for base in cls.__mro__[1:]}

    assert {cls.__name__ for cls in named - set(registered) - bases} == set()
    assert {
        cls.type_name: short for cls, short in registered.items() if cls.type_name != short
    } == {}


@pytest.mark.parametrize("entry", ALL, ids=IDS)
def test_the_reference_has_every_attribute_of_a_type(entry):
    text = (ROOT / "docs" / "components.md").read_text()
    own = text.partition(f"\n### {entry.name}\n")[2].partition("\n### ")[0]
    declared = entry.cls.declarations

    assert own, "no section"
    for name in (*declared.attrs, *declared.links, *declared.outputs):
        assert f"| `{name}` |" in own
    assert "```sf" in own
    assert section(entry, 3).strip() in text


def test_what_a_type_declares_secret_is_tagged_so_in_every_description_that_extends_it():
    declared = {
        (family, entry.name, name)
        for family, all_ in libraries.families().items()
        for entry in all_
        for name, one in entry.cls.declarations.attrs.items()
        if TAG in one.tags
    }

    assert {name for _, _, name in declared} == {"password", "rootPassword", "hostKey"}
    for family, type_, name in declared:
        text = f'#include "components/{family}.sf"\nsfConfig extends {type_} {{ {name} "x"; USER }}'
        user = 'user "u";' if type_ == "RabbitMQServer" else ""
        root = sfdl.compile(text.replace("USER", user)).root
        assert name in secret_names(root)
        assert has_secrets(root)
    assert not has_secrets(
        sfdl.compile('#include "components/images.sf"\nsfConfig extends DebianImage;').root
    )


@pytest.mark.parametrize("entry", ALL, ids=IDS)
def test_the_example_of_a_type_is_a_description_of_it(entry):
    includes = [
        f'#include "components/{family}.sf"'
        for family in libraries.families()
        if family != "engine"
    ]
    text = "\n".join(
        ['#include "org/smartfrog/components.sf"', *includes,
         f"sfConfig extends Compound {{ other extends Compound; {example_of(entry)} }}"]
    )  # fmt: skip

    compiled = sfdl.compile(text)

    assert missing_classes(compiled) == []
    classes = set()
    stack = [compiled.root]
    while stack:
        node = stack.pop()
        stack.extend(value for _, value in node.attributes if isinstance(value, Description))
        if node.get("sfClass") == entry.dotted:
            classes.add(entry.dotted)
            given = dict(node.attributes)
            entry.cls.declarations.bind(given, {}, where=entry.name)
    assert entry.dotted in classes


def wrong_values(declared):
    """Give values that an attribute must not take: of other kinds, and beyond its limits."""
    kinds = (Vector((True,)), Description(()), "no such \x00 thing", Long(-(2**62)), True, -1.5)
    limits = [declared.ge - 1] if declared.ge is not None else []
    limits += [declared.le + 1] if declared.le is not None else []
    yield from [value for value in kinds if refused(declared, value)][:2]
    yield from [value for value in limits if refused(declared, value)]


def refused(declared, value):
    try:
        declared.read(value)
    except BadValueError:
        return True
    return False


def described(entry, **more):
    pairs = {"sfClass": entry.dotted}
    for name, declared in entry.cls.declarations.attrs.items():
        if declared.default is REQUIRED:
            pairs[name] = sample(declared)
    for name, link in entry.cls.declarations.links.items():
        if link.required:
            pairs[name] = sfdl.parse_reference("LAZY PARENT:first")
    return Description(tuple({**pairs, **more}.items()))


def attempts(entry):
    for name, declared in entry.cls.declarations.attrs.items():
        for value in wrong_values(declared):
            yield name, described(entry, **{name: value})
    for name, link in entry.cls.declarations.links.items():
        if not link.takes(3):
            yield name, described(entry, **{name: 3})


@pytest.mark.parametrize("entry", [e for e in ALL if any(attempts(e))],
                         ids=lambda entry: entry.short)  # fmt: skip
def test_a_wrong_attribute_is_refused_before_anything_starts_and_the_message_says_what_and_where(
    entry, tmp_path
):
    first = Description((("sfClass", "engine.testing.components.Step"), ("takes", -1)))

    async def story():
        async with engines(tmp_path) as (_, (one,)):
            for name, whole in attempts(entry):
                Step.diary.clear()
                root = Description((("sfClass", "compound"), ("first", first), ("w", whole)))
                with pytest.raises(EngineError) as caught:
                    await one.deploy("app", root)
                fault = caught.value.fault
                told = f"{fault.message} {fault.hint}"
                assert f"app:w.{name}: " in told, told
                assert any(word in told for word in ("(got ", "must", "does not fit")), told
                assert fault.code == "SF-ATTR-001"
                assert Step.diary == []
                assert not one.process.lives
            assert not one.process.ledger.effects()

    virtual_time(story())


def test_every_attribute_can_be_given_wrongly():
    open_to_all = [
        f"{entry.short}.{name}"
        for entry in ALL
        for name, declared in entry.cls.declarations.attrs.items()
        if not any(wrong_values(declared))
    ]
    assert open_to_all == []


@pytest.mark.parametrize(
    "file", sorted((ROOT / "descriptions/components").glob("*.sf")), ids=lambda f: f.name
)
def test_a_library_is_clean(file):
    from click.testing import CliRunner

    from sfdl.cli import main

    done = CliRunner().invoke(main, ["check", "--classes", str(file)])

    assert done.exit_code == 0, done.output
    assert "0 errors, 0 warnings" in done.output


def test_what_leads_to_no_type_is_refused_in_words():
    with pytest.raises(EngineError, match="is not a component type"):
        entries({"x": "engine.testing.components:OwnedFile"})
    with pytest.raises(EngineError, match="x: "):
        entries({"x": "engine.testing.nowhere:It"})
