"""Finding component types and effect classes by name, from allowed packages only."""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import entry_points

from engine.core.faults import BadDescription
from engine.prim import Prim
from engine.runtime.effects import Effect

OURS = ("engine", "components")
GROUP = "smartdomains.components"


@cache
def _announced() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


class Types:
    """Component types by short name or dotted path.

    Only packages of ours, those that installed distributions announce, and those added by
    configuration are ever imported.
    """

    def __init__(self, extra: tuple[str, ...] = ()) -> None:
        """Allow further top-level packages."""
        announced = {value.partition(":")[0].partition(".")[0] for value in _announced().values()}
        self.allowed = tuple(sorted({*OURS, *announced, *extra}))
        self._found: dict[str, type[Prim]] = {}

    def component(self, name: str, *, where: str) -> type[Prim]:
        """Return the component type called `name`.

        Raises:
            BadDescription: Unknown, not allowed, or not a component type.
        """
        if name not in self._found:
            path = _announced().get(name, "")
            module, _, attribute = path.partition(":") if path else name.rpartition(".")
            found = self._load(module, attribute, name, where)
            if not (isinstance(found, type) and issubclass(found, Prim)):
                raise BadDescription(
                    f"{name} is not a component type", code="SF-TYPE-101", where=where
                )
            self._found[name] = found
        return self._found[name]

    def effect(self, path: str) -> type[Effect]:
        """Return the effect class at `module:Class`.

        Raises:
            BadDescription: Unknown, not allowed, or not an effect.
        """
        module, _, attribute = path.partition(":")
        found = self._load(module, attribute, path, "ledger")
        if not (isinstance(found, type) and issubclass(found, Effect)):
            raise BadDescription(f"{path} is not an effect", where="ledger")
        return found

    def _load(self, module: str, attribute: str, name: str, where: str) -> object:
        if not module:
            known = ", ".join(sorted(_announced())) or "none"
            raise BadDescription(
                f"unknown component type {name!r}", code="SF-TYPE-102", where=where,
                hint=f"registered short names: {known}; else write package.module.Class",
            )  # fmt: skip
        if module.partition(".")[0] not in self.allowed:
            raise BadDescription(
                f"type {name!r} is not in an allowed package", code="SF-TYPE-103", where=where,
                hint=f"allowed packages: {', '.join(self.allowed)}",
            )  # fmt: skip
        try:
            found: object = importlib.import_module(module)
            for part in attribute.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise BadDescription(
                f"there is no component type {name!r}: {error}", code="SF-TYPE-102", where=where
            ) from error
        return found
