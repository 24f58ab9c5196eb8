"""What the source of a type says beyond its declarations: summary, example, events and errors.

The docstring of a type may have the sections `Example:`, `Events:` and `Errors:`. What a type raises
with a code, and what it leaves as events, is found in its source besides: nothing is left out.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import NamedTuple

from engine.compound import Compound
from engine.prim import Prim

SECTIONS = ("Example", "Events", "Errors", "Attributes")


class Doc(NamedTuple):
    """A docstring taken apart: prose, and the text of each section."""

    prose: str
    sections: dict[str, str]


def doc_of(cls: type[object]) -> Doc:
    """Take the docstring of a class apart; an inherited one does not count.

    Example:
        >>> class It:
        ...     '''Does it.
        ...
        ...     Example:
        ...         it extends It;
        ...     '''
        >>> doc_of(It)
        Doc(prose='Does it.', sections={'Example': 'it extends It;'})
    """
    lines = inspect.cleandoc(cls.__dict__.get("__doc__") or "").splitlines()
    prose: list[str] = []
    sections: dict[str, list[str]] = {}
    into = prose
    for line in lines:
        if line.endswith(":") and line[:-1] in SECTIONS:
            into = sections.setdefault(line[:-1], [])
        else:
            into.append(line)
    texts = {name: textwrap.dedent("\n".join(text)).strip() for name, text in sections.items()}
    return Doc(" ".join(" ".join(prose).split()), texts)


def summary(cls: type[Prim]) -> str:
    """Return what a type is, in prose."""
    return doc_of(cls).prose


def events(cls: type[Prim]) -> dict[str, str]:
    """Return the events a type leaves: what they are called and what they mean."""
    return {**_found(cls, "event"), **_declared(cls, "Events")}


def errors(cls: type[Prim]) -> dict[str, str]:
    """Return the errors a type raises: their codes and what they mean.

    Raises:
        ValueError: A docstring says twice what one is.

    Example:
        >>> class It(Prim):
        ...     '''Does it.
        ...
        ...     Errors:
        ...         SF-IT-001: It is there.
        ...         SF-IT-001: It is not there.
        ...     '''
        >>> errors(It)
        Traceback (most recent call last):
        ValueError: It says twice what SF-IT-001 is
    """
    return {**_found(cls, "error"), **_declared(cls, "Errors")}


def _bases(cls: type[Prim]) -> list[type[Prim]]:
    bases = [base for base in reversed(cls.__mro__) if issubclass(base, Prim)]
    return [base for base in bases if base not in {Prim, Compound}]


def _declared(cls: type[Prim], section: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in _bases(cls):
        name, own = "", set[str]()
        for line in doc_of(base).sections.get(section, "").splitlines():
            if line[:1].isspace():
                found[name] += f" {line.strip()}"
            elif line:
                name, _, meaning = line.partition(": ")
                if name in own:
                    raise ValueError(f"{base.__qualname__} says twice what {name} is")
                own.add(name)
                found[name] = meaning
    return found


def _found(cls: type[Prim], kind: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for base in _bases(cls):
        tree = _class_tree(base)
        if tree is None:
            continue
        pairs = _errors_in(tree) if kind == "error" else _events_in(tree)
        for name, meaning in pairs:
            if any(each.isalpha() for each in meaning) and meaning not in found.get(name, "").split(
                "; "
            ):
                found[name] = "; ".join(filter(None, (found.get(name), meaning)))
            found.setdefault(name, "")
    return found


def _class_tree(cls: type[Prim]) -> ast.AST | None:
    try:
        source = textwrap.dedent(inspect.getsource(cls))
    except (OSError, TypeError):
        return None
    return ast.parse(source)


def _errors_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Give the code and text of every error made with a code."""
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        texts: dict[str, str] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                texts[node.targets[0].id] = _template(node.value, {})
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                codes = [each.value for each in node.keywords if each.arg == "code"]
                if codes and isinstance(codes[0], ast.Constant) and node.args:
                    yield str(codes[0].value), _template(node.args[0], texts)


def _events_in(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Give the name and facts of everything emitted, and the text of every warning noted."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        if node.func.attr == "emit" and isinstance(node.args[0], ast.Constant):
            facts = ", ".join(f"`{each.arg}`" for each in node.keywords if each.arg)
            yield str(node.args[0].value), f"with {facts}" if facts else ""
        if (
            node.func.attr == "note"
            and len(node.args) > 1
            and isinstance(node.args[1], ast.Constant)
            and (text := _template(node.args[0], {}))
        ):
            yield str(node.args[1].value), text


def _template(node: ast.expr, texts: dict[str, str]) -> str:
    """Return a text with `…` for what is known only as it runs."""
    match node:
        case ast.Constant(str(text)):
            return text
        case ast.JoinedStr(parts):
            return "".join(
                _template(part, texts) if isinstance(part, ast.Constant) else "…" for part in parts
            )
        case ast.Name(name):
            return texts.get(name, "")
        case _:
            return ""
