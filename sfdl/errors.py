"""The root of every exception of the project, and those of the language.

SmartDomainsError      carries: code, message, hint, where
├── CompileError       a description is wrong (carries `diagnostics`)
├── EvaluationError    a function or assertion kept for run time failed
├── FormatError        text or JSON that was to be read back is malformed
└── ...                the engine adds its own kinds below the same root
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sfdl.diagnostics import Diagnostic


class SmartDomainsError(Exception):
    """Something expected went wrong; its text is meant for a person.

    Attributes:
        code: Stable identifier such as `SF-LINK-001`; programs may rely on it.
        message: One sentence saying what failed.
        hint: What to do about it, or an empty string.
        where: Component path or `file:line:column`, or an empty string.
    """

    default_code = "SF-ERROR"

    def __init__(self, message: str, *, code: str = "", hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.code = code or self.default_code
        self.message = message
        self.hint = hint
        self.where = where

    @override
    def __str__(self) -> str:
        """Return place, code, message and hint in at most two lines."""
        place = f"{self.where}: " if self.where else ""
        hint = f"\n   help   {self.hint}" if self.hint else ""
        return f"{place}{self.code}: {self.message}{hint}"


class CompileError(SmartDomainsError):
    """A description does not compile.

    Attributes:
        diagnostics: Every failure found, sorted by file and position; never empty.
    """

    default_code = "SF-COMPILE"

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        first = diagnostics[0]
        super().__init__(
            first.message,
            code=first.code,
            where=str(first.span) if first.span is not None else "",
        )
        self.diagnostics = tuple(diagnostics)

    @override
    def __str__(self) -> str:
        """Return all diagnostics, rendered with excerpts."""
        return "\n".join(diagnostic.render() for diagnostic in self.diagnostics)


class EvaluationError(SmartDomainsError):
    """A function or an assertion kept for run time could not be evaluated or does not hold."""

    default_code = "SF-FUNCTION-001"


class FormatError(SmartDomainsError, ValueError):
    """A value, reference or canonical JSON document cannot be read."""

    default_code = "SF-FORMAT-001"
