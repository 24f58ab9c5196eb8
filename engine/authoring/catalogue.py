"""Which component types a distribution announces, in the order in which its source has them."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, distribution
from typing import NamedTuple

from engine.core.faults import BadDescription, NotFound
from engine.prim import Prim
from engine.runtime.types import GROUP


class Entry(NamedTuple):
    """One announced type: its short name, where it is found, and the class."""

    short: str
    path: str
    cls: type[Prim]

    @property
    def name(self) -> str:
        """Return the name its prototype has."""
        return self.path.rpartition(":")[2]

    @property
    def dotted(self) -> str:
        """Return what `sfClass` says."""
        return self.path.replace(":", ".")

    @property
    def family(self) -> str:
        """Return the package of the type below the top one, or the top one itself.

        Example:
            >>> Entry("a.b", "components.domains.vm:VM", Prim).family
            'domains'
        """
        parts = self.path.partition(":")[0].split(".")
        return parts[1] if len(parts) > 1 and parts[0] == "components" else parts[0]


def announced_by(name: str) -> tuple[Entry, ...]:
    """Return the types of an installed distribution.

    Raises:
        NotFound: No such distribution is installed here, or it announces no types.
        BadDescription: One of its entry points leads to no component type.
    """
    try:
        found = distribution(name).entry_points.select(group=GROUP)
    except PackageNotFoundError:
        raise NotFound(
            f"no distribution {name} is installed here", code="SF-LIB-001",
            hint="install it first, for instance with pip install -e .",
        ) from None  # fmt: skip
    if not found:
        raise NotFound(
            f"{name} announces no component types", code="SF-LIB-002",
            hint=f'name them in its entry-point group "{GROUP}", and install it again',
        )  # fmt: skip
    return entries({point.name: point.value for point in found})


def entries(points: Mapping[str, str]) -> tuple[Entry, ...]:
    """Import types given as short name and `module:Class`, and put them in the order of the source.

    Raises:
        BadDescription: There is no such class, or it is no component type.
    """
    found = []
    for short, path in points.items():
        module, _, name = path.partition(":")
        try:
            cls = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise BadDescription(f"{short}: {error}", code="SF-TYPE-102", where=path) from error
        if not (isinstance(cls, type) and issubclass(cls, Prim)):
            raise BadDescription(f"{short} is not a component type", code="SF-TYPE-101", where=path)
        found.append(Entry(short, path, cls))
    return tuple(sorted(found, key=_place))


def _place(entry: Entry) -> tuple[str, str, int]:
    return entry.family, entry.cls.__module__, inspect.getsourcelines(entry.cls)[1]
