"""Links between components: what `link()` gives an author, here or across processes."""

from __future__ import annotations

import asyncio
import inspect
import typing
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import msgspec

from engine.core.faults import BadDescription, Ended, EngineError, NotFound
from engine.core.lifecycle import State
from engine.wire.codec import decode, encode
from engine.wire.messages import Handle
from sfdl.values import Description, Part, PartKind, Reference, Value

if TYPE_CHECKING:
    from engine.runtime.live import Live

T = TypeVar("T")

NOT_EXPOSED = "SF-CALL-001"
"""Code of the fault that says a component has no such method for others."""


class Link(Generic[T]):
    """A link as its component sees it: followed anew at each use, never a copy of the target."""

    __slots__ = ("_live", "_name")

    def __init__(self, live: Live, name: str) -> None:
        """Take the component that holds the link and the attribute's name."""
        self._live = live
        self._name = name

    @property
    def given(self) -> bool:
        """Say whether the description gives this link at all."""
        return self._live.value(self._name) is not None

    @property
    def text(self) -> str:
        """Return the plain string given instead of a component, or nothing."""
        value = self._live.value(self._name)
        return value if isinstance(value, str) else ""

    @property
    def api(self) -> T:
        """Return the target's exposed methods, typed; each call is bounded and may be remote."""
        face = type(self._live.prim).declarations.links[self._name].face
        return cast("T", Api(self, face))

    async def handle(self) -> Handle:
        """Follow the link.

        Raises:
            NotFound: There is no such component, or the link is not given.
        """
        found = await self._live.process.resolver.resolve(self._live, self._reference())
        if isinstance(found, Handle):
            return found
        raise NotFound(f"{self._name} leads to a value, not to a component", where=self._live.path)

    async def state(self) -> str:
        """Return the state the target is in, such as `started`; `terminated` once it is gone."""
        try:
            handle = await self.handle()
            return await self._live.process.calls.state_of(handle)
        except (NotFound, Ended):
            return State.TERMINATED.value

    async def watch(self, attribute: str, every_s: float = 1.0) -> AsyncIterator[Value | Handle]:
        """Give an attribute of the target now, and again whenever it differs; ends with the target."""
        before: object = self
        while True:
            try:
                now = await self.get(attribute)
            except (NotFound, Ended):
                return
            if now != before:
                before = now
                yield now
            await asyncio.sleep(every_s)

    async def get(self, attribute: str) -> Value | Handle:
        """Read an attribute of the target: a copy of a value, or a handle."""
        reference = self._reference()
        parts = (*reference.parts, Part(PartKind.HERE, attribute))
        return await self._live.process.resolver.resolve(self._live, Reference(parts, lazy=True))

    async def set(self, attribute: str, value: Value) -> Value:
        """Change an attribute of the target, and return its value before."""
        return await self._live.process.calls.set(await self.handle(), attribute, value)

    async def call(
        self, method: str, face: Callable[..., object], arguments: tuple[object, ...],
        named: Mapping[str, object],
    ) -> object:  # fmt: skip
        """Call an exposed method of the target; arguments and result travel as data."""
        target = await self.handle()
        payload = encode(list(arguments)), encode(dict(named)) if named else b""
        try:
            data = await self._live.process.calls.call(target, method, *payload)
        except EngineError as error:
            if error.fault.code != NOT_EXPOSED:
                raise
            wanted = getattr(face, "__name__", "something else")
            raise BadDescription(
                f"{self._name} must lead to a {wanted}: {error.fault.message}", code="SF-ATTR-003",
                where=self._live.path,
            ) from error  # fmt: skip
        return decode_result(data, face, method)

    def _reference(self) -> Reference:
        value = self._live.value(self._name)
        if isinstance(value, Reference):
            return value
        if isinstance(value, Description):
            return Reference((Part(PartKind.HERE, self._name),), lazy=True)
        raise NotFound(f"{self._name} is not given", where=self._live.path)


class Api:
    """Stands for the exposed methods of a link's target."""

    __slots__ = ("_face", "_link")

    def __init__(self, link: Link[Any], face: Callable[..., object]) -> None:
        """Take the link and the class whose methods may be called."""
        self._link = link
        self._face = face

    def __getattr__(self, method: str) -> Callable[..., Coroutine[Any, Any, object]]:
        signature = inspect.signature(getattr(self._face, method))
        link, face = self._link, self._face

        async def call(*args: object, **kwargs: object) -> object:
            bound = signature.bind(None, *args, **kwargs)
            bound.apply_defaults()
            return await link.call(method, face, bound.args[1:], bound.kwargs)

        return call


@lru_cache(maxsize=1024)
def _hints(function: Callable[..., object]) -> dict[str, Any]:
    return typing.get_type_hints(function)


def decode_result(data: bytes, face: Callable[..., object], method: str) -> object:
    """Turn the encoded result into what the face's method is declared to return."""
    wanted = _hints(getattr(face, method)).get("return", type(None))
    return decode(data, wanted)


def decode_arguments(
    function: Callable[..., object], data: bytes, named: bytes = b""
) -> tuple[list[object], dict[str, object]]:
    """Turn encoded arguments into what a bound method's parameters are declared as.

    Args:
        function: The method.
        data: A list, in the order of its parameters.
        named: Further ones by name; empty for none.

    Raises:
        msgspec.ValidationError: They do not fit.
    """
    values = decode(data, list[object])
    by_name = decode(named, dict[str, object]) if named else {}
    hints = _hints(inspect.unwrap(getattr(function, "__func__", function)))
    names = list(inspect.signature(function).parameters)
    if len(values) > len(names):
        raise msgspec.ValidationError(f"{len(values)} arguments, at most {len(names)} taken")

    def converted(name: str, value: object) -> object:
        return msgspec.convert(value, hints.get(name, object), strict=True)

    given = [converted(name, value) for name, value in zip(names, values, strict=False)]
    return given, {name: converted(name, value) for name, value in by_name.items()}
