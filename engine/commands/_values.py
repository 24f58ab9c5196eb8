"""Values and attributes as users write them on a command line."""

from __future__ import annotations

from collections.abc import Sequence

import click

from sfdl.values import Value


def attribute_of(ref: str) -> tuple[str, str]:
    """Split a path into the component and the name of its attribute.

    Example:
        >>> attribute_of('pool:vm1:memory'), attribute_of('pool:vm1:"odd name"')
        (('pool:vm1', 'memory'), ('pool:vm1', 'odd name'))
    """
    component, _, name = ref.rpartition(":")
    name = name.strip('"')
    if not component or not name:
        raise click.UsageError(f"{ref!r} is no attribute of a component: write app:child:attribute")
    return component, name


def value_of(text: str) -> Value:
    """Read a value: a literal of the language, a `LAZY` reference, else text as it stands.

    Example:
        >>> value_of("4"), value_of("four"), value_of('"4"'), value_of("[|1, 2|]")
        (4, 'four', '4', Vector(items=(1, 2)))
    """
    import sfdl

    if not text.startswith("LAZY "):
        return sfdl.parse_value(text)
    try:
        return sfdl.parse_reference(text)
    except ValueError as error:
        raise click.UsageError(f"{text!r} is no reference: {error}") from error


def assignments(words: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    """Read `REF VALUE`, or one or more `REF=VALUE` about one component.

    Returns:
        The component, and pairs of attribute and value as text.

    Example:
        >>> assignments(["pool:vm1:memory", "512"])
        ('pool:vm1', [('memory', '512')])
        >>> assignments(["pool:a=1", "pool:b=x=y"])
        ('pool', [('a', '1'), ('b', 'x=y')])
    """
    if len(words) == 2 and "=" not in words[0]:
        pairs = [(words[0], words[1])]
    else:
        pairs = []
        for word in words:
            ref, found, value = word.partition("=")
            if not found:
                raise click.UsageError(f"{word!r} is not REF=VALUE")
            pairs.append((ref, value))
    return _of_one([(*attribute_of(ref), value) for ref, value in pairs])


def _of_one(found: Sequence[tuple[str, str, str]]) -> tuple[str, list[tuple[str, str]]]:
    components = {component for component, _, _ in found}
    names = [name for _, name, _ in found]
    if len(components) > 1:
        raise click.UsageError(
            f"one batch changes one component, not {' and '.join(sorted(components))}"
        )
    if len(set(names)) < len(names):
        raise click.UsageError("an attribute is named twice")
    return components.pop(), [(name, value) for _, name, value in found]


def removals(refs: Sequence[str]) -> tuple[str, list[str]]:
    """Read the paths of attributes of one component; return it and their names."""
    component, pairs = _of_one([(*attribute_of(ref), "") for ref in refs])
    return component, [name for name, _ in pairs]
