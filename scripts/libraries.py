"""Writes the description libraries of our own components from their declarations.

Every type of entry-point group `smartdomains.components` in pyproject.toml is in one of them: conditions
and events in libraries of their own, all others in that of their package.

python scripts/libraries.py           writes descriptions/components/*.sf
python scripts/libraries.py --check   says whether they are as they would be written
"""

import importlib
import sys
import tomllib
from pathlib import Path

from engine.authoring.catalogue import Entry, entries
from engine.authoring.libraries import library
from engine.runtime.types import GROUP

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "descriptions" / "components"
TITLES = {
    "conditions": "Conditions: components that say yes or no when they are asked.",
    "events": "Events between components.",
}
WITH = {"conditions": ("components/comparisons.sf",)}
"""Libraries written by hand that come with one of ours."""
PREFIXES = {"condition": "conditions", "event": "events"}
"""Types whose short names begin like this stand together, whatever package they are of."""


def families() -> dict[str, list[Entry]]:
    """Return all types by the name of their library; those of the engine itself are in none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found: dict[str, list[Entry]] = {}
    for entry in entries(project["entry-points"][GROUP]):
        family = PREFIXES.get(entry.short.partition(".")[0], entry.family)
        found.setdefault(family, []).append(entry)
    return dict(sorted(found.items()))


def title(family: str) -> str:
    if family in TITLES:
        return TITLES[family]
    doc = importlib.import_module(f"components.{family}").__doc__ or ""
    return doc.partition("\n\n")[0].replace("\n", " ")


def pages() -> dict[Path, str]:
    """Return the text of each library."""
    return {
        FOLDER / f"{family}.sf": library(
            title(family), members, "scripts/libraries.py", WITH.get(family, ())
        )
        for family, members in families().items()
        if family != "engine"
    }


def main() -> int:
    stale = 0
    for page, text in pages().items():
        if "--check" not in sys.argv:
            page.write_text(text, "utf-8")
        elif not page.exists() or page.read_text("utf-8") != text:
            print(f"{page} is stale: run python scripts/libraries.py", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
