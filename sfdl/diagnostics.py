"""What is wrong with a description, for people and for editors.

A `Diagnostic` is plain data. `render` gives the form shown in a terminal; `as_json` the one editors
read. `suggest` finds the names a mistyped one may have meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sfdl.errors import CompileError
from sfdl.source import Span

LIMIT = 20
"""Most diagnostics that are rendered in one report."""


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One failure or warning.

    Attributes:
        phase: `parse include type place function sfConfig link assert` or, for warnings, `lint`.
        code: Stable identifier such as `SF-TYPE-001`.
        message: One sentence naming the offender.
        span: Where it is, or None where there is no text to point at.
        notes: Further lines: what was searched, what may have been meant, how it came here.
        severity: `error` or `warning`.
        lead: Characters before the span that belong to the same reference and are right.
    """

    phase: str
    code: str
    message: str
    span: Span | None = None
    notes: tuple[str, ...] = ()
    severity: str = "error"
    lead: int = 0

    def render(self) -> str:
        """Return the message, an excerpt with carets, and the notes, as lines of text."""
        place = f"{self.span}: " if self.span is not None else ""
        lines = [f"{place}{self.severity} {self.code}: {self.message}"]
        if self.span is not None and self.span.excerpt:
            lines.extend(_excerpt(self.span, self.lead))
        lines.extend(f"   {note}" for note in self.notes)
        included = self.span.included_from if self.span is not None else None
        while included is not None:
            lines.append(f"   included from {included.file}:{included.line}")
            included = included.included_from
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return a JSON object; `range` counts lines and columns from one, its end is exclusive."""
        answer: dict[str, object] = {
            "severity": self.severity,
            "phase": self.phase,
            "code": self.code,
            "message": self.message,
            "notes": list(self.notes),
        }
        if self.span is not None:
            answer["file"] = self.span.file
            answer["range"] = {
                "start": {"line": self.span.line, "column": self.span.column},
                "end": {"line": self.span.end_line, "column": self.span.end_column},
            }
        return answer


_WIDEST = 160


def _excerpt(span: Span, lead: int) -> Iterator[str]:
    number = str(span.line).rjust(5)
    last = span.end_column if span.end_line == span.line else len(span.excerpt) + 1
    if len(span.excerpt) > _WIDEST:
        first = max(0, span.column - 1 - lead - _WIDEST // 3)
        shown = span.excerpt[first : first + _WIDEST]
        yield f"{number} | ...{shown}..."
        margin = " " * (span.column + 2 - first - lead) + "-" * lead
        width = min(last - span.column, _WIDEST - (span.column - 1 - first))
        yield f"      | {margin}{'^' * max(1, width)}"
        return
    yield f"{number} | {span.excerpt}"
    # Tabs stay tabs in the margin, so that the carets stand below what they mark.
    margin = "".join("\t" if c == "\t" else " " for c in span.excerpt[: span.column - 1])
    margin = f"{margin[: len(margin) - lead]}{'-' * lead}" if lead <= len(margin) else margin
    yield f"      | {margin}{'^' * max(1, last - span.column)}"


def failure(diagnostics: Iterable[Diagnostic]) -> CompileError:
    """Return one exception for all diagnostics: each once, sorted by file and position."""
    unique = dict.fromkeys(diagnostics)
    return CompileError(sorted(unique, key=_position))


def _position(diagnostic: Diagnostic) -> tuple[str, int, int]:
    span = diagnostic.span
    return (span.file, span.line, span.column) if span is not None else ("", 0, 0)


def report(diagnostics: Iterable[Diagnostic]) -> str:
    """Return the rendered diagnostics, at most `LIMIT`, saying how many were left out."""
    all_of_them = list(diagnostics)
    lines = [diagnostic.render() for diagnostic in all_of_them[:LIMIT]]
    if len(all_of_them) > LIMIT:
        lines.append(f"... and {len(all_of_them) - LIMIT} more")
    return "\n".join(lines)


def suggest(wrong: str, candidates: Iterable[str], *, most: int = 3) -> list[str]:
    """Return the candidates nearest to a mistyped name, best first.

    A candidate counts if it is at most two edits away (one for names of two or three letters, none
    for one letter), or the same but for case, `-` and `_`.

    Example:
        >>> suggest("gatway", ["gateway", "mask", "Gat_Way"])
        ['Gat_Way', 'gateway']
    """
    bound = 2 if len(wrong) > 3 else 1 if len(wrong) > 1 else 0
    scored: list[tuple[int, str]] = []
    for candidate in dict.fromkeys(candidates):
        if candidate == wrong:
            continue
        if _folded(candidate) == _folded(wrong):
            scored.append((0, candidate))
        elif abs(len(candidate) - len(wrong)) <= bound:
            distance = _distance(wrong, candidate)
            if distance <= bound:
                scored.append((distance, candidate))
    return [candidate for _, candidate in sorted(scored)[:most]]


def _folded(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _distance(left: str, right: str) -> int:
    """Return the edit distance, a swap of neighbours counting as one edit."""
    before: list[int] = []
    previous = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            cost = min(previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, previous = previous, row
    return previous[-1]
