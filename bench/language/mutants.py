"""How well diagnostics point at mistakes: descriptions with one token wrong, at random.

    python bench/language/mutants.py [COUNT [SEED]]

Each mutant is a case or a shipped description with one token deleted or one name misspelled (two
letters swapped, one left out, doubled or replaced). Those that still compile tell nothing and are
counted apart. For the others

* the *line is right* if a diagnostic, or the place it gives for a suggested name, is on the line of
  the mistake; for a deleted token also on the line of the token before or after it;
* the *suggestion is right*, for misspelled names, if a note offers the name as it was, or, where the
  definition was misspelled, offers the misspelled one to those who use it.

Names of up to three letters are not misspelled.
"""

from __future__ import annotations

import random
import re
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sfdl.builder import Parsing
from sfdl.compiler import check_description
from sfdl.lexer import tokens
from sfdl.parser import lexer_tables

PROJECT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"SF_CONFORMANCE_INT": "42", "SF_CONFORMANCE_STR": "hello"}
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@dataclass
class Mutant:
    """A text with one mistake: the lines that may be named for it, the token before and after."""

    path: Path
    kind: str
    text: str
    lines: set[int]
    old: str
    new: str


@dataclass
class Score:
    """Counts, and the mutants that were told badly."""

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[str, Mutant, str]] = field(default_factory=list)

    def share(self, part: str, whole: str) -> float:
        """Return one count as a share of another."""
        return self.counts[part] / max(1, self.counts[whole])


def copied(folder: Path) -> list[Path]:
    """Copy cases and descriptions; return the files that are right as they are."""
    shutil.copytree(PROJECT / "tests" / "sfdl" / "cases", folder / "cases")
    shutil.copytree(PROJECT / "descriptions", folder / "descriptions")
    cases = [
        path for path in (folder / "cases").rglob("*.sf") if path.with_suffix(".json").exists()
    ]
    shipped = list((folder / "descriptions").rglob("*.sf"))
    return [path for path in sorted([*cases, *shipped]) if not errors(path)]


def errors(path: Path) -> list[object]:
    found, _ = check_description(path, environment=ENVIRONMENT)
    return [one for one in found if one.severity == "error"]


def misspelled(word: str, chance: random.Random) -> str:
    at = chance.randrange(len(word) - 1)
    match chance.randrange(4):
        case 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        case 1:
            return word[:at] + word[at + 1 :]
        case 2:
            return word[:at] + word[at] + word[at:]
    return word[:at] + chance.choice(LETTERS) + word[at + 1 :]


def mutant(path: Path, chance: random.Random) -> Mutant | None:
    text = path.read_text(encoding="utf-8")
    source = Parsing(text)
    stream = list(tokens(source, lexer_tables()))
    if source.text != text or not stream:
        return None  # offsets in texts with \\u escapes are not those of the file
    kind = chance.choice(("deleted", "misspelled"))
    if kind == "deleted":
        index = chance.randrange(len(stream))
        around = stream[max(0, index - 1) : index + 2]
        new = ""
    else:
        names = [i for i, t in enumerate(stream) if t.type == "WORD" and len(t) > 3]
        if not names:
            return None
        index = chance.choice(names)
        around = [stream[index]]
        new = misspelled(str(stream[index]), chance)
    token = stream[index]
    if new == str(token):
        return None
    start = token.start_pos or 0
    # A deleted token leaves its spaces, and no two words grow together.
    changed = text[:start] + (new or " ") + text[start + len(token) :]
    lines = {source.position(near.start_pos or 0)[0] for near in around}
    return Mutant(path, kind, changed, lines, str(token), new)


def judge(one: Mutant, score: Score) -> None:
    original = one.path.read_text(encoding="utf-8")
    one.path.write_text(one.text, encoding="utf-8")
    try:
        found = errors(one.path)
    finally:
        one.path.write_text(original, encoding="utf-8")
    score.counts["all"] += 1
    if not found:
        score.counts[f"{one.kind} accepted"] += 1
        return
    score.counts["rejected"] += 1
    score.counts[one.kind] += 1
    shown = "\n".join(diagnostic.render() for diagnostic in found)
    places = {int(line) for line in re.findall(rf"{re.escape(str(one.path))}:(\d+)", shown)}
    if places & one.lines:
        score.counts["line right"] += 1
        score.counts[f"{one.kind} line right"] += 1
    else:
        score.bad.append(("line", one, shown))
    if one.kind == "misspelled":
        offers = set(re.findall(r"did you mean `([^`]*)`", shown))
        if {one.old, one.new} & offers:
            score.counts["suggestion right"] += 1
        else:
            score.bad.append(("suggestion", one, shown))


def run(count: int, seed: int) -> Score:
    chance = random.Random(seed)
    score = Score()
    with tempfile.TemporaryDirectory() as name:
        paths = copied(Path(name).resolve())
        while score.counts["all"] < count:
            one = mutant(chance.choice(paths), chance)
            if one is not None:
                judge(one, score)
    return score


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    score = run(count, seed)
    for name, number in sorted(score.counts.items()):
        print(f"{name:22} {number}")
    print(f"line right             {score.share('line right', 'rejected'):.1%} of those rejected")
    right = score.share("suggestion right", "misspelled")
    print(f"suggestion right       {right:.1%} of misspellings rejected")
    if "-v" in sys.argv:
        for what, one, shown in score.bad:
            print(
                f"\n=== {what}: {one.path} {one.kind} `{one.old}` -> `{one.new}` lines {one.lines}"
            )
            print(shown[:1200])


if __name__ == "__main__":
    main()
