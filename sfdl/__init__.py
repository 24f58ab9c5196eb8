"""The description language: text in, immutable description out.

    compiled = sfdl.compile(Path("pool.sf"), overrides=[("sfConfig:size", "4")])
    compiled.root            # the resolved description
    compiled.where("vm1")    # where an attribute was written

Names are imported when they are first used, so that programs which only handle values start
quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sfdl.canonical import digest, from_json, to_json
    from sfdl.compiler import Compiled
    from sfdl.compiler import check_description as check
    from sfdl.compiler import compile_description as compile  # noqa: A004 - read as `sfdl.compile`
    from sfdl.diagnostics import Diagnostic
    from sfdl.errors import CompileError, EvaluationError, FormatError, SmartDomainsError
    from sfdl.explanation import Explanation, Reason, explain
    from sfdl.kept import Need, evaluate, needs
    from sfdl.primitives import parse_reference, parse_value
    from sfdl.printer import print_file, print_value
    from sfdl.references import reference_text
    from sfdl.source import Span
    from sfdl.values import (
        Bytes,
        Description,
        Float,
        Kept,
        Long,
        Part,
        PartKind,
        Reference,
        Tbd,
        Value,
        Vector,
    )

_HOMES = {
    "canonical": ("digest", "from_json", "to_json"),
    "compiler": ("Compiled",),
    "diagnostics": ("Diagnostic",),
    "errors": ("CompileError", "EvaluationError", "FormatError", "SmartDomainsError"),
    "explanation": ("Explanation", "Reason", "explain"),
    "kept": ("Need", "evaluate", "needs"),
    "primitives": ("parse_reference", "parse_value"),
    "printer": ("print_file", "print_value"),
    "references": ("reference_text",),
    "source": ("Span",),
    "values": (
        *("Bytes", "Description", "Float", "Kept", "Long", "Part", "PartKind", "Reference"),
        *("Tbd", "Value", "Vector"),
    ),
}
_HOME = {name: (module, name) for module, names in _HOMES.items() for name in names}
_HOME["compile"] = ("compiler", "compile_description")
_HOME["check"] = ("compiler", "check_description")

__all__ = [
    "Bytes",
    "CompileError",
    "Compiled",
    "Description",
    "Diagnostic",
    "EvaluationError",
    "Explanation",
    "Float",
    "FormatError",
    "Kept",
    "Long",
    "Need",
    "Part",
    "PartKind",
    "Reason",
    "Reference",
    "SmartDomainsError",
    "Span",
    "Tbd",
    "Value",
    "Vector",
    "check",
    "compile",
    "digest",
    "evaluate",
    "explain",
    "from_json",
    "needs",
    "parse_reference",
    "parse_value",
    "print_file",
    "print_value",
    "reference_text",
    "to_json",
]


def __getattr__(name: str) -> object:
    """Import a public name at its first use."""
    try:
        module, attribute = _HOME[name]
    except KeyError:
        raise AttributeError(f"module 'sfdl' has no attribute '{name}'") from None
    value: object = getattr(import_module(f"sfdl.{module}"), attribute)
    globals()[name] = value
    return value
