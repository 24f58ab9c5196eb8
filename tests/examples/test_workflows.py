"""The workflow examples do what their first lines say, and leave nothing."""

from __future__ import annotations

import os
import signal
import urllib.request
from pathlib import Path

import pytest

import components.workflow
import descriptions
import sfdl
from engine.core.faults import EngineError, NotFound
from engine.ports import free_port
from engine.testing.kit import engines, until
from engine.wire.codec import flatten
from engine.wire.messages import Update

FOLDER = Path(descriptions.__file__).parent
COMPATIBLE = sorted((FOLDER / "org/smartfrog/sfcore/workflow").rglob("*.sf"))


def compiled(name, **values):
    overrides = [(f"sfConfig:{key}", str(value)) for key, value in values.items()]
    return sfdl.compile(FOLDER / "examples" / name, overrides=overrides).root


async def test_hello_world_says_both_words_and_ends(tmp_path):
    async with engines(tmp_path, threads=True) as (_, (one,)):
        await one.deploy("hello", compiled("hello.sf", file=tmp_path / "out"))

        record = await until(lambda: one.process.ended_application("hello"))

        assert record.type == "normal", record
        assert (tmp_path / "out").read_text().split() == ["hello", "world"]
        await until(lambda: not one.process.lives)


def fetched(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/page", timeout=5) as answer:
            return answer.read()
    except OSError:
        return b""


async def test_the_web_service_is_started_again_when_it_does_not_answer(tmp_path):
    (tmp_path / "page").write_text("here")
    port = free_port()
    async with engines(tmp_path / "state", threads=True, checks_at_once=4) as (_, (one,)):
        await one.deploy("web", compiled("webService.sf", port=f'"{port}"', folder=tmp_path))

        def server():
            lives = one.process.lives.values()
            return next((live for live in lives if live.name == "server"), None)

        await until(lambda: fetched(port) == b"here")
        first = server()
        os.killpg(first.value("pid"), signal.SIGSTOP)  # it is there, but does not answer
        try:
            await until(lambda: server() not in {None, first} and fetched(port) == b"here",
                        timeout_s=50)  # fmt: skip
        finally:
            await one.terminate("web")
        assert not fetched(port)


async def test_the_batch_runs_on_three_hosts_and_tries_again_where_it_failed(tmp_path):
    job = "test -e seen || { touch seen; exit 1; }; echo done >> result"
    async with engines(tmp_path / "state", 3, threads=True) as (_, made):
        root = compiled("batch.sf", folder=tmp_path, job=job, parallel=1)
        await made[0].deploy("batch", root)

        record = await until(lambda: made[0].process.ended_application("batch"), timeout_s=50)

        assert record.type == "normal", record
        assert (tmp_path / "result").read_text().split() == ["done"] * 3
        for engine in made:
            await until(lambda engine=engine: not engine.process.lives)
            with pytest.raises(NotFound):
                engine.process.application("batch")


@pytest.mark.parametrize("file", COMPATIBLE, ids=lambda file: str(file.relative_to(FOLDER)))
def test_files_of_the_original_load_and_have_what_they_are_named_for(file):
    names = {name.lower(): name for name in components.workflow.__all__}
    special = {"conditional": "If", "eventbus": "EventCompound", "components": "BooleanValue"}
    wanted = special[file.stem] if file.stem in special else names[file.stem.lower()]
    text = (
        f'#include "{file.relative_to(FOLDER)}"\nit extends {wanted};\nsfConfig extends Compound;'
    )

    assert sfdl.compile(text).root.get("sfClass") == "engine.compound.Compound"


def test_true_and_false_are_conditions_of_the_original():
    text = (
        '#include "org/smartfrog/sfcore/workflow/conditional/components.sf"\n'
        "sfConfig extends And { a extends True; b extends False; }"
    )

    root = sfdl.compile(text).root

    assert [root.get(name).get("value") for name in "ab"] == [True, False]


async def test_workers_are_updated_one_after_the_other_and_a_bad_version_is_taken_back(tmp_path):
    def version(text):
        return Update("site", flatten(compiled("rollingUpdate.sf", version=f'"{text}"')))

    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        await one.deploy("site", compiled("rollingUpdate.sf", version='"1"'))
        first = {row.name: row.ident for row in await one.rows("site")}
        await one.submit(version("2"))
        second = {row.name: row.ident for row in await one.rows("site")}
        assert first["site"] == second["site"]
        assert all(first[name] != second[name] for name in ("database", "cache", "front"))
        began = {
            name: one.process.live(second[name]).since_s for name in ("database", "cache", "front")
        }
        assert began["database"] + 1 <= began["cache"]
        assert began["cache"] + 1 <= began["front"]

        with pytest.raises(EngineError, match="everything is as before"):
            await one.submit(version("bad"))

        assert sorted(one.process.application("site").children) == ["cache", "database", "front"]
        live = one.process.live(one.process.application("site").ident)
        await until(lambda: live.ready)
        pids = [child.value("pid") for child in live.children.values()]
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        assert live.value("version") == "2"
        await one.terminate("site")
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
