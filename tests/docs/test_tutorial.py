"""The package of the tutorial: built, installed with the project, deployed by a daemon, and its tests run."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from .test_documents import ROOT, alone, commands, own_network

TUTORIAL = ROOT / "docs" / "tutorial"
PACKAGE = TUTORIAL / "sd-notes"
OURS = ("sfdl", "engine", "components", "descriptions", "tui", "packaging", "smartdomains.py",
        "pyproject.toml", "README.md", "LICENSE")  # fmt: skip
LITTER = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".pytest_cache")


def run(*words, cwd, timeout_s=300):
    done = subprocess.run(
        [str(word) for word in words], cwd=cwd, capture_output=True, text=True, timeout=timeout_s, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def copied(names, source, target):
    target.mkdir()
    for name in names:
        if (source / name).is_dir():
            shutil.copytree(source / name, target / name, ignore=LITTER)
        else:
            shutil.copy(source / name, target / name)
    return target


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A new virtual environment with both wheels; what they need of others is that of this one."""
    folder = tmp_path_factory.mktemp("tutorial")
    project = copied(OURS, ROOT, folder / "project")
    package = copied([each.name for each in PACKAGE.iterdir() if each.name not in LITTER("", [each.name])],
                     PACKAGE, folder / "sd-notes")  # fmt: skip
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    for source in (project, package):
        run(*pip, "wheel", "-q", "--no-deps", "-w", folder / "wheels", source, cwd=folder)
    run(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    site = Path(
        run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder).strip()
    )
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    wheels = sorted((folder / "wheels").glob("*.whl"))
    assert len(wheels) == 2
    run(
        *pip,
        "--python",
        python,
        "install",
        "-q",
        "--no-deps",
        "--no-index",
        "--ignore-installed",
        *wheels,
        cwd=folder,
    )
    where = run(
        python,
        "-c",
        "import engine, sd_notes; print(engine.__path__[0], sd_notes.__file__)",
        cwd=folder,
    )
    assert where.count(str(site)) == 2, where
    return folder


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_its_library_and_page_are_as_written_from_its_declarations(installed):
    sfdl = installed / "venv" / "bin" / "sfdl"
    files = (
        "--out",
        PACKAGE / "sd_notes/descriptions/notes/components.sf",
        "--page",
        PACKAGE / "REFERENCE.md",
    )
    run(sfdl, "library", "sd-notes", *files, "--check", cwd=installed)
    example = "import sd_notes.descriptions as d; print(d.__path__[0] + '/notes/example.sf')"
    file = run(installed / "venv/bin/python", "-c", example, cwd=installed).strip()
    run(sfdl, "check", "--classes", file, cwd=installed)


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_its_own_tests_pass_where_it_is_installed(installed):
    out = run(
        installed / "venv" / "bin" / "python",
        "-m",
        "pytest",
        "-q",
        "tests",
        cwd=installed / "sd-notes",
    )
    assert "5 passed" in out


@own_network
@pytest.mark.integration
@pytest.mark.timeout(600)
def test_its_type_is_deployed_by_a_real_daemon_as_the_tutorial_says(installed, tmp_path):
    lines = commands(
        (TUTORIAL / "README.md").read_text().partition("## Deploy it")[2].partition("\n## ")[0]
    )
    assert any(line.startswith("sfstart") for line in lines)
    script = [
        f"export XDG_STATE_HOME={tmp_path}/state PATH={installed}/venv/bin:$PATH",
        f"cd {tmp_path}",
    ]
    for line in lines:
        plain = line.partition("  #")[0].rstrip(" &")
        if plain.startswith("sfdaemon"):
            script.append(f"{plain} > daemon 2>&1 &")
            script.append(
                "for i in $(seq 400); do grep -q ^ready daemon && break; sleep 0.05; done"
            )
        else:
            script.append(plain)
    done = alone("\n".join(script), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "started notes on localhost" in done.stdout
    assert "notes.note" in done.stdout
    assert "terminated notes" in done.stdout


def test_what_the_tutorial_shows_is_what_the_package_has():
    text = (TUTORIAL / "README.md").read_text()
    shown = re.findall(r"`sd-notes/([^`]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    assert {name for name, _ in shown} >= {
        "pyproject.toml",
        "sd_notes/__init__.py",
        "tests/test_notes.py",
    }
    for name, block in shown:
        whole = (PACKAGE / name).read_text()
        for part in block.split("# ...\n"):
            assert part.strip() in whole, f"{name}: {part}"
