"""Writes docs/components.md from the declarations: every type, attribute, method, event and error.

python scripts/reference.py           writes the page
python scripts/reference.py --check   says whether it is as it would be written
"""

import sys
from pathlib import Path

from libraries import families, title

from engine.authoring.pages import page

PAGE = Path(__file__).parents[1] / "docs" / "components.md"
HEAD = """# Component types

Generated from the declarations by `python scripts/reference.py`. The unit is that of plain numbers:
a size is a whole number of MiB, or text with a unit (`"512m"`, `"1.5g"`); a duration is in the unit
named, or text with a unit (`"500ms"`). `…` in an error or
event stands for what is known only when it happens.
"""
ENGINE = "engine"


def text() -> str:
    found = {
        f"`components/{family}.sf`" if family != ENGINE else "The engine": members
        for family, members in families().items()
    }
    about = "\n".join(
        f"- `components/{family}.sf`: {title(family)}" for family in families() if family != ENGINE
    )
    return page(f"{HEAD}\n{about}\n", found)


def main() -> int:
    if "--check" in sys.argv:
        stale = PAGE.read_text("utf-8") != text()
        if stale:
            print("docs/components.md is stale: run python scripts/reference.py", file=sys.stderr)
        return int(stale)
    PAGE.write_text(text(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
