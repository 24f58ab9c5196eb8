"""Declarations of a component type: attributes, links, outputs, exposed methods.

One declaration says kind, default, limits and documentation; binding, checks and generated
libraries are all made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, overload

from engine.core.faults import EngineError
from engine.core.secrecy import TAG
from engine.runtime.kinds import BadValueError, Kind, shown
from sfdl.values import Description, Kept, Reference, Tbd, Value, Vector

if TYPE_CHECKING:
    from engine.prim import Prim
    from engine.runtime.handles import Link

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


class _Required:
    """The default of an attribute that every description must give."""


REQUIRED: Final = _Required()


class NotBound(EngineError):
    """An attribute was read before its value could be known."""


class Attr(Generic[T]):
    """A declared attribute: reading it on a component gives the bound, checked value.

    Literal values are bound when the component is created, LAZY ones just before `on_start`;
    an earlier read raises `NotBound`.
    """

    def __init__(
        self,
        kind: Kind[Any],
        default: object,
        *,
        ge: float | None,
        le: float | None,
        choices: tuple[str, ...],
        doc: str,
        called: str,
        tags: frozenset[str],
        unique: bool,
        fresh: bool,
    ) -> None:
        """Take the declaration; use `attr` instead."""
        self.unique = unique
        self.fresh = fresh
        self.kind = kind
        self.default = default
        self.ge = ge
        self.le = le
        self.choices = choices
        self.doc = doc
        self.called = called
        self.tags = tags

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.called = self.called or name

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Attr[T]: ...
    @overload
    def __get__(self, instance: Prim, owner: type[object]) -> T: ...
    def __get__(self, instance: Prim | None, owner: type[object]) -> Attr[T] | T:
        if instance is None:
            return self
        bound = instance.live.bound
        if self.called not in bound:
            raise NotBound(
                f"{self.called} is LAZY and bound just before on_start", where=instance.live.path
            )
        return cast("T", bound[self.called])

    def read(self, value: Value) -> object:
        """Check one value; NULL means unset and gives the default.

        Raises:
            BadValueError: The value does not fit; the text says what would.
        """
        if value is None:
            if isinstance(self.default, _Required):
                raise BadValueError(f"must be given: {self.doc}")
            return self._checked_default()
        data: object = self.kind.read(value)
        self._check_limits(data, shown(value))
        return data

    def _checked_default(self) -> object:
        if self.default is None or isinstance(self.default, _Required):
            return None
        if isinstance(self.default, tuple):
            return self.kind.read(Vector(self.default))
        return self.kind.read(cast("Value", self.default))

    def _check_limits(self, data: object, text: str) -> None:
        if isinstance(data, int | float) and not isinstance(data, bool):
            if self.ge is not None and data < self.ge:
                raise BadValueError(f"must be at least {self.kind.spell(self.ge)} (got {text})")
            if self.le is not None and data > self.le:
                raise BadValueError(f"must be at most {self.kind.spell(self.le)} (got {text})")
        if self.choices and data not in self.choices:
            near = get_close_matches(str(data), self.choices, 1)
            guess = f'; did you mean "{near[0]}"?' if near else ""
            raise BadValueError(f"must be one of {', '.join(self.choices)} (got {text}){guess}")


@overload
def attr(
    kind: Kind[T],
    default: None,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    doc: str,
    called: str = "",
    tags: frozenset[str] = frozenset(),
    unique: bool = False,
    fresh: bool = False,
) -> Attr[T | None]: ...
@overload
def attr(
    kind: Kind[T],
    default: object = REQUIRED,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    doc: str,
    called: str = "",
    tags: frozenset[str] = frozenset(),
    unique: bool = False,
    fresh: bool = False,
) -> Attr[T]: ...
def attr(
    kind: Kind[T],
    default: object = REQUIRED,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    doc: str,
    called: str = "",
    tags: frozenset[str] = frozenset(),
    unique: bool = False,
    fresh: bool = False,
) -> Any:
    """Declare an attribute.

    Args:
        kind: One of `engine.runtime.kinds`.
        default: As a description would write it; left out, the attribute is required.
        ge: Least value, in the unit of the kind.
        le: Greatest value, in the unit of the kind.
        choices: The words allowed.
        doc: One sentence, with the unit.
        called: Name in the description where it differs from the Python name.
        tags: Language tags of the attribute.
        unique: No two components of an application may give it the same value.
        fresh: A LAZY value is not bound before `on_start`, but read with `fetch` whenever it is needed;
            it may lead nowhere until then.
    """
    return Attr[Any](
        kind, default, ge=ge, le=le, choices=choices, doc=doc, called=called, tags=tags,
        unique=unique, fresh=fresh,
    )  # fmt: skip


class LinkTo(Generic[T]):
    """A declared link: a LAZY reference to another component, always live, never a copy."""

    def __init__(
        self,
        face: Callable[..., T],
        *,
        doc: str,
        required: bool,
        called: str,
        text: bool,
        truth: bool = False,
    ) -> None:
        """Take the declaration; use `link` instead."""
        self.face = face
        self.doc = doc
        self.required = required
        self.text = text
        self.truth = truth
        self.called = called

    def takes(self, value: Value) -> bool:
        """Say whether something that is no component and no reference may stand here."""
        truth = self.truth and isinstance(value, bool | Kept)
        return truth or (self.text and isinstance(value, str))

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.called = self.called or name

    @overload
    def __get__(self, instance: None, owner: type[object]) -> LinkTo[T]: ...
    @overload
    def __get__(self, instance: Prim, owner: type[object]) -> Link[T]: ...
    def __get__(self, instance: Prim | None, owner: type[object]) -> LinkTo[T] | Link[T]:
        if instance is None:
            return self
        return cast("Link[T]", instance.live.link(self.called))


def link(
    face: Callable[..., T],
    *,
    doc: str,
    required: bool = True,
    called: str = "",
    text: bool = False,
    truth: bool = False,
) -> LinkTo[T]:
    """Declare a link to a component.

    Args:
        face: A class with the methods the target exposes.
        doc: One sentence.
        required: Refuse a description without it.
        called: Name in the description where it differs from the Python name.
        text: Take a plain string as well, such as a path where a component could stand.
        truth: Take true, false or a function that gives one as well.
    """
    return LinkTo(face, doc=doc, required=required, called=called, text=text, truth=truth)


class Output(Generic[T]):
    """A declared attribute that the component itself writes."""

    def __init__(self, type_: type[T], doc: str, called: str) -> None:
        """Take the declaration; use `output` instead."""
        self.type = type_
        self.doc = doc
        self.called = called

    def __set_name__(self, owner: type[object], name: str) -> None:
        self.called = self.called or name

    @overload
    def __get__(self, instance: None, owner: type[object]) -> Output[T]: ...
    @overload
    def __get__(self, instance: Prim, owner: type[object]) -> T: ...
    def __get__(self, instance: Prim | None, owner: type[object]) -> Output[T] | T:
        if instance is None:
            return self
        if self.called not in instance.live.changes:
            raise NotBound(f"{self.called} has not been written yet", where=instance.live.path)
        return cast("T", instance.live.changes[self.called])

    def __set__(self, instance: Prim, value: T) -> None:
        instance.live.write(self.called, cast("Value", value))


def output(type_: type[T], *, doc: str, called: str = "") -> Output[T]:
    """Declare an attribute that the component writes; `type_` is a plain scalar type.

    `called` is its name in descriptions where it differs from the Python name.
    """
    return Output(type_, doc, called)


_EXPOSED = "__exposed_role__"


def exposed(*, role: str = "operator") -> Callable[[F], F]:
    """Let other components call this async method; arguments and result are data or handles."""

    def mark(method: F) -> F:
        setattr(method, _EXPOSED, role)
        return method

    return mark


_WATCHES = "__watched_attribute__"


def on_change(attribute: str) -> Callable[[F], F]:
    """Have this async method called with the old and the new value once an attribute was changed.

    If it raises, the change is undone and whoever asked for it gets the error.
    """

    def mark(method: F) -> F:
        setattr(method, _WATCHES, attribute)
        return method

    return mark


class Declarations:
    """Everything a type declares, its bases included, by the description's names."""

    def __init__(self, cls: type[object]) -> None:
        """Collect from the class and its bases."""
        self.attrs: dict[str, Attr[Any]] = {}
        self.links: dict[str, LinkTo[Any]] = {}
        self.outputs: dict[str, Output[Any]] = {}
        self.methods: dict[str, str] = {}
        self.watchers: dict[str, str] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                match value:
                    case Attr():
                        self.attrs[value.called] = value
                    case LinkTo():
                        self.links[value.called] = value
                    case Output():
                        self.outputs[value.called] = value
                    case _:
                        role = getattr(value, _EXPOSED, None)
                        if isinstance(role, str):
                            self.methods[name] = role
                        watched = getattr(value, _WATCHES, None)
                        if isinstance(watched, str):
                            self.watchers[watched] = name
        self.unique = tuple(declared for declared in self.attrs.values() if declared.unique)

    def bind(
        self, context: Mapping[str, Value], bound: dict[str, object], *, where: str,
        secret: Collection[str] = (),
    ) -> tuple[str, ...]:  # fmt: skip
        """Bind every declared attribute whose value is plain; return the names of LAZY ones.

        Values of `secret` attributes are not shown when they do not fit.

        Raises:
            BadValueError: One or more values do not fit; the text lists them all.
        """
        lazy: list[str] = []
        wrong: list[str] = []
        for name, declared in self.attrs.items():
            value = context.get(name)
            if isinstance(value, Reference | Kept):
                if not declared.fresh:
                    lazy.append(name)
                continue
            try:
                bound[name] = declared.read(value)
            except BadValueError as error:
                hidden = name in secret or TAG in declared.tags
                wrong.append(f"{where}.{name}: {'does not fit' if hidden else error}")
        wrong.extend(self._wrong_links(context, where))
        if wrong:
            raise BadValueError("; ".join(wrong))
        return tuple(lazy)

    def _wrong_links(self, context: Mapping[str, Value], where: str) -> list[str]:
        wrong = []
        for name, declared in self.links.items():
            value = context.get(name)
            if value is None and declared.required:
                wrong.append(f"{where}.{name}: must be a reference to a component: {declared.doc}")
            elif declared.takes(value):
                continue
            elif value is not None and not isinstance(value, Reference | Description | Tbd):
                wrong.append(f"{where}.{name}: must be a reference (got {shown(value)})")
        return wrong
