"""The walk-through works as written, command by command, on a lab of its own."""

from __future__ import annotations

import os
import re
import secrets
import subprocess

import pytest

from components.testbed.lab import Lab
from tests.lab.looking import ROOT, left, spaces, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("lab_machine"),
]
PAGE = (ROOT / "docs" / "lab.md").read_text()


def test_the_walk_through_works_as_written_and_leaves_nothing():
    lines = [
        line.partition("  #")[0].strip()
        for line in re.findall(r"^    (scripts/lab .*)$", PAGE, re.MULTILINE)
    ]
    assert lines[0] == "scripts/lab 3"
    assert lines[-1] == "scripts/lab down"
    name = f"t-{secrets.token_hex(4)}"
    environment = {**os.environ, "SMARTDOMAINS_LAB": name, "COLUMNS": "1000"}
    lab, gone, said = Lab(name=name), [], {}
    try:
        for line in lines:
            if line == lines[-1]:
                gone = spaces(lab)
            if line.startswith("scripts/lab kill"):
                until(lambda: lab["h1"].pid("daemon"))  # the one before may just be starting again
            done = subprocess.run(
                line.split(), cwd=ROOT, env=environment, capture_output=True, text=True,
                timeout=120, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
            assert "Traceback" not in done.stderr
            said[line] = done.stdout
    finally:
        lab.down()

    assert left(lab.folder, gone) == []
    assert "│ h1 │ │ h2 │ │ h3 │" in said["scripts/lab 3"]
    assert "worker2  system.process  started" in said["scripts/lab sf sfstatus h1 pool"]
    assert "sfdaemon --node h2" in said["scripts/lab run h2 ps -ef"]


def test_the_example_in_python_works_as_written():
    code = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
    exec(compile(code, "docs/lab.md", "exec"), {})
