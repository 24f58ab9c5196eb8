"""Every command and example in the documents is run, in a network of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sfdl
from engine.core.faults import EngineError
from engine.testing.kit import engines, until

ROOT = Path(__file__).parents[2]
own_network = pytest.mark.skipif(os.geteuid() != 0, reason="an own network needs root")


def commands(text):
    """The command lines of a document: indented by four, beginning with one of ours."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.findall(r"^    (sf[a-zA-Z]* .*|sfdaemon.*|sed .*)$", prose, re.MULTILINE)


def alone(script, cwd, timeout_s=120):
    """Run a script in a network namespace of its own, so that the usual ports are free."""
    words = [
        "unshare",
        "--net",
        "--kill-child",
        "--fork",
        "--pid",
        "--mount-proc",
        "bash",
        "-eu",
        "-c",
    ]
    return subprocess.run(
        [*words, f"ip link set lo up\n{script}"], cwd=cwd, capture_output=True, text=True,
        timeout=timeout_s, check=False,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
    )  # fmt: skip


def run_document(lines, tmp_path, expected):
    """Run the lines one by one; `expected` gives exit codes other than 0 by line."""
    (tmp_path / "descriptions").symlink_to(ROOT / "descriptions")
    script = [f"export XDG_STATE_HOME={tmp_path}/state"]
    for number, line in enumerate(lines):
        plain = line.partition("  #")[0].rstrip(" &")
        if plain.startswith("sfdaemon"):
            log = f"{tmp_path}/daemon{number}"
            script.append(f"{plain} > {log} 2>&1 &")
            script.append(
                f"for i in $(seq 400); do grep -q ^ready {log} && break; sleep 0.05; done"
            )
            continue
        code = expected.get(number, 0)
        script.append(f"echo '$ {plain}'; code=0; {plain} || code=$?")
        script.append(f'[ $code = {code} ] || {{ echo "exit code $code, not {code}"; exit 1; }}')
    done = alone("\n".join(script), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout


@own_network
@pytest.mark.integration
def test_the_commands_of_the_getting_started_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "getting-started.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "one.sf").write_text(block[1])
    lines = commands(text)
    again = [n for n, line in enumerate(lines) if "virtualPoolDesc" in line][1]

    out = run_document(lines, tmp_path, {again: 8})

    assert "started first on localhost" in out
    assert "started pool on localhost: 13 components on 2 hosts" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_networks_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "networks.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "lan.sf").write_text(block[1])

    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    out = run_document(commands(prose), tmp_path, {})

    assert "started site on localhost" in out
    assert "10.30.0.5" in out
    assert "terminated site" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_storage_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "storage.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "site.sf").write_text(block[1])

    out = run_document(commands(text), tmp_path, {})

    assert "started site on localhost" in out
    assert "10.40.0." in out
    assert "terminated site" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_pools_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "pools.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "pool.sf").write_text(block[1])

    out = run_document(commands(text), tmp_path, {})

    assert "started farm on localhost" in out
    assert "terminated farm" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_guests_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "guests.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "guest.sf").write_text(block[1])

    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    out = run_document(commands(prose), tmp_path, {})

    assert "started site on localhost" in out
    assert "terminated site" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_machines_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "machines.md").read_text()
    (tmp_path / "machine.sf").write_text(re.search(r"```sf\n(.*?)```", text, re.DOTALL)[1])

    lines = commands(text)
    assert len(lines) > 5
    run_document(lines, tmp_path, {})


@own_network
@pytest.mark.integration
def test_the_commands_of_the_contexts_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "context.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "told.sf").write_text(block[1])

    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    out = run_document(commands(prose), tmp_path, {})

    assert "started told on localhost" in out
    assert "nocloud" in out
    assert "terminated told" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_images_page_work_as_written(tmp_path):
    system = tmp_path / "system"
    (system / "srv").mkdir(parents=True)
    (system / "srv" / "hello").write_text("hello\n")
    subprocess.run(["tar", "-C", system, "-cf", tmp_path / "sd-system.tar", "."], check=True)
    text = (ROOT / "docs" / "images.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "imaged.sf").write_text(block[1].replace("/tmp/sd-", f"{tmp_path}/sd-"))

    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    out = run_document(commands(prose), tmp_path, {})

    assert "started imaged on localhost" in out
    assert "imageDigest" in out
    assert "terminated imaged" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_page_on_running_systems_work_as_written(tmp_path):
    text = (ROOT / "docs" / "living.md").read_text()
    block = re.search(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shop.sf").write_text(block[1])
    lines = commands(text)
    codes = {
        number: int(found[1])
        for number, line in enumerate(lines)
        if (found := re.search(r"# exit code (\d+)$", line))
    }
    assert len(codes) == 3

    out = run_document(lines, tmp_path, codes)

    assert '"good morning"' in out
    assert "+/- store" in out
    assert 'greeting "welcome"' in out
    assert "started shop:second on localhost" in out
    assert "cache     " in out.partition("$ sfdetach localhost")[2]
    assert "SUCCESSFUL TERMINATE shop" in out
    assert "stopped" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_readme_work_as_written(tmp_path):
    text = (ROOT / "README.md").read_text()
    by_hand = text.partition("## By hand")[2].partition("\n## ")[0]
    lines = ["sfdaemon --port 3801", *commands(by_hand)]

    out = run_document(lines, tmp_path, {})

    assert "terminated pool: 13 components" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_security_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "security.md").read_text()
    (tmp_path / "app.sf").write_text(
        '#include "org/smartfrog/components.sf"\nsfConfig extends Compound { a 1; }'
    )
    lines = re.findall(r"^    ((?:sf[a-z]+|export) .*)$", text, re.MULTILINE)

    out = run_document(lines, tmp_path, {})

    assert "issued daemon node1" in out
    assert out.count("running, version") == 2
    assert "signed" in out
    assert "state    revoked" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_operations_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "operations.md").read_text()
    talk = 'Talker extends Prim { sfClass "engine.testing.components.Talker"; }\n'
    (tmp_path / "site.sf").write_text(
        f'#include "org/smartfrog/components.sf"\n{talk}sfConfig extends Compound {{ a extends Talker; }}'
    )
    lines = commands(re.sub(r"```.*?```", "", text, flags=re.DOTALL))

    out = run_document(lines, tmp_path, {})

    assert out.count("fit to be a host") == 2
    assert "SETTINGS" in out
    assert '"text":"hello"' in out


def test_every_metric_of_the_operations_page_is_one_a_daemon_has():
    from engine.upkeep import metrics

    page = (ROOT / "docs" / "operations.md").read_text()
    source = Path(metrics.__file__).read_text()
    named = set(re.findall(r"smartdomains_([a-z_]+)", page)) | set(
        re.findall(r"`([a-z_]+)(?:\{[a-z,]+\})?`(?=[,` ]).* \|", page.partition("| metric |")[2])
    )
    for name in named - {"process_"}:
        word = re.sub(r"_(bucket|sum|count|total|info)$", "", name)
        assert f'"{word}"' in source or f"{{PREFIX}}{word}" in source, name


@own_network
@pytest.mark.integration
def test_the_demonstration_ends_with_nothing_left(tmp_path):
    done = alone(f"{ROOT}/scripts/demo", tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("nothing left")
    assert done.stdout.count("kvm.domain     started, ready") == 3


@own_network
@pytest.mark.qemu
@pytest.mark.timeout(240)
def test_the_real_demonstration_boots_two_guests_and_leaves_nothing(tmp_path):
    done = alone(f"{ROOT}/scripts/demo --real", tmp_path, 200)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("nothing left")
    assert done.stdout.count("kvm.domain     started, ready") == 2


@pytest.mark.parametrize("script", ["reference.py", "libraries.py", "commands.py", "manuals.py"])
def test_what_is_written_from_the_declarations_is_not_stale(script):
    done = subprocess.run(
        [sys.executable, f"scripts/{script}", "--check"], cwd=ROOT, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


async def test_the_example_component_lives_and_leaves_nothing(tmp_path, monkeypatch):
    text = (ROOT / "docs" / "writing-components.md").read_text()
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)[1]
    (tmp_path / "notice_example.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    note = tmp_path / "note"

    async with engines(tmp_path / "state", packages=("notice_example",)) as (_, (one,)):
        description = {"sfClass": "notice_example.Notice", "file": str(note), "text": "bye"}
        await one.deploy("app", description)
        assert note.read_text() == "app\nbye"
        await one.terminate("app")
        assert not note.exists()
        note.write_text("someone\n")
        with pytest.raises(EngineError, match="not ours"):
            await one.deploy("app", description)
        assert note.read_text() == "someone\n"


def test_every_link_between_documents_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_is_in_a_command_page():
    scripts = re.findall(
        r'^"?(sf[a-z]+)"? = "', (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )
    pages = "".join(page.read_text() for page in ROOT.glob("docs/**/commands.md"))
    assert scripts
    for script in scripts:
        assert f"`{script}" in pages, script


@own_network
@pytest.mark.integration
def test_the_commands_of_the_page_on_trees_work_as_written(tmp_path):
    text = (ROOT / "docs" / "trees.md").read_text()
    blocks = re.findall(r"```sf\n(.*?)```", text, re.DOTALL)
    (tmp_path / "shop.sf").write_text(blocks[0])
    (tmp_path / "shop2.sf").write_text(blocks[1])

    out = run_document(commands(text), tmp_path, {})

    assert "store ended" in out
    assert "together with" in out
    assert "+/-" in out
    assert "queue" in out
    assert "4 components" in out or "5 components" in out


@own_network
@pytest.mark.integration
def test_the_commands_of_the_workflow_page_work_as_written(tmp_path):
    text = (ROOT / "docs" / "workflow.md").read_text()
    lines = commands(text)
    codes = {
        n: int(code[1])
        for n, line in enumerate(lines)
        if (code := re.search(r"# exit code (\d+)$", line))
    }

    out = run_document(lines, tmp_path, codes)

    assert "started hello on localhost" in out
    assert "3 replaced, 0 made, 0 ended; generation 2" in out
    assert out.count("+/- ") == 3
    assert "condition.livenesstest" in out
    assert "terminated web" in out


WHOLE = [
    block
    for block in re.findall(
        r"```sf\n(.*?)```", (ROOT / "docs" / "workflow.md").read_text(), re.DOTALL
    )
    if "#include" in block
]


@pytest.mark.parametrize("text", WHOLE, ids=lambda text: text.split("extends ")[1].split()[0])
async def test_the_descriptions_of_the_workflow_page_do_their_job_and_end(text, tmp_path):
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        root = sfdl.compile(text.replace("/tmp/hello.txt", str(tmp_path / "hello"))).root
        await one.deploy("app", root)

        record = await until(lambda: one.process.ended_application("app"))

        assert record.is_normal, record


SYSTEM = (ROOT / "docs" / "system.md").read_text()


@own_network
@pytest.mark.integration
def test_the_commands_of_the_page_on_systems_work_as_written(tmp_path):
    (tmp_path / "shop.sf").write_text(re.search(r"```sf\n(.*?)```", SYSTEM, re.DOTALL)[1])

    out = run_document(commands(SYSTEM), tmp_path, {})

    assert "started shop on localhost" in out
    assert "8080" in out
    assert "terminated shop" in out


@pytest.mark.parametrize("text", re.findall(r"```sf\n(.*?)```", SYSTEM, re.DOTALL))
async def test_the_descriptions_of_the_page_on_systems_start_and_leave_nothing(text, tmp_path):
    from engine.ports import free_port

    here = text.replace("/tmp/sd-docs", str(tmp_path / "docs")).replace("8099", str(free_port()))
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("app", sfdl.compile(here).root)
        if "AppendLines" in text:
            conf = tmp_path / "docs" / "etc" / "app.conf"
            assert conf.read_text() == "listen 8080\nuser nobody\n"
        if "Download" in text:
            assert "GNU" in (tmp_path / "docs-licence").read_text()

        assert (await one.terminate("app")).leftovers == ()

    assert not (tmp_path / "docs" / "etc").exists()
    assert not (tmp_path / "docs" / "greeting").exists()
    assert not (tmp_path / "docs-licence").exists()


@own_network
@pytest.mark.integration
@pytest.mark.zookeeper
@pytest.mark.rabbitmq
@pytest.mark.timeout(240)
def test_the_commands_of_the_services_page_work_as_written(tmp_path):
    needed = ("/usr/share/java/zookeeper.jar", "/usr/lib/rabbitmq/bin/rabbitmq-server")
    missing = [file for file in needed if not Path(file).exists()]
    if missing:
        stop = pytest.fail if os.environ.get("CI") else pytest.skip
        stop(f"not on this machine: {', '.join(missing)} (scripts/setup --services)")
    text = (ROOT / "docs" / "services.md").read_text().replace("/srv/", f"{tmp_path}/")

    out = run_document(commands(text), tmp_path, {})

    assert out.count("service.zookeeper  started, ready") == 3
    assert re.search(r'mode\n"?(leader|follower)', out)
    assert "terminated zk: 7 components" in out
    assert "service.rabbitmq  started, ready" in out
    assert re.search(r"nextRun\n\"?20..-..-..T02:30:00[+]0[12]:00", out)


PIECES = re.findall(r"```sf\n(.*?)```", (ROOT / "docs" / "services.md").read_text(), re.DOTALL)


@pytest.mark.parametrize("text", PIECES, ids=range(len(PIECES)))
def test_the_descriptions_of_the_services_page_compile(text):
    assert sfdl.compile(text).root.get("sfClass") == "engine.compound.Compound"
