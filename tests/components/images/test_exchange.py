"""Images passed from host to host: whole, verified, taken up again, and never more than two at a time."""

from __future__ import annotations

import asyncio
import hashlib
import random
from pathlib import Path

import pytest

import sfdl
from components.images.fetching import READERS, Library
from components.images.kinds import ImageFacts
from components.images.store import Source, Store
from engine.core.faults import EngineError, NotFound, Refused
from engine.runtime.pieces import Pieces
from engine.testing.kit import Rule, engines
from engine.wire.messages import PullPiece

DATA = random.Random(1).randbytes(5 * 2**20 + 512)
DIGEST = f"sha256:{hashlib.sha256(DATA).hexdigest()}"
TEXT = """
#include "components/vm.sf"
sfConfig extends Compound {{
    sfSyncTerminate true;
    images extends ImageStore {{ folder "{folder}"; sources [{sources}]; patience 20; {more} }}
    {image}
}}
"""
FETCHED = f'image extends BaseImage {{ store LAZY ATTRIB images; digest "{DIGEST}"; }}'


def described(folder, sources=(), image="", more=""):
    names = ", ".join(f'"{each}"' for each in sources)
    return sfdl.compile(TEXT.format(folder=folder, sources=names, image=image, more=more)).root


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(DATA)
    return f'image extends BaseImage {{ source "{path}"; store LAZY ATTRIB images; }}'


def library(engine):
    return engine.process.services.get(Library)


async def test_an_image_is_got_from_another_host_and_served_on(tmp_path, source):
    async with engines(tmp_path / "s", 3, threads=True) as (network, hosts):
        await hosts[0].deploy("a", described(tmp_path / "0", image=source))
        await hosts[1].deploy("b", described(tmp_path / "1", ["host1"], FETCHED))
        del network.verbs[hosts[0].process.address]
        await hosts[2].deploy("c", described(tmp_path / "2", ["host1", "host2"], FETCHED))

        for number in range(3):
            store = Store(tmp_path / str(number))
            assert store.path(DIGEST).read_bytes() == DATA
            assert store.users(DIGEST) == 1
        network.verbs[hosts[0].process.address] = None
        del network.verbs[hosts[0].process.address]


async def test_a_transfer_is_taken_up_where_it_stopped(tmp_path, source):
    async with engines(tmp_path / "s", 2, threads=True) as (network, (one, two)):
        await one.deploy("a", described(tmp_path / "0", image=source))
        part = Store(tmp_path / "1").scratch(f"{DIGEST[7:]}.part")
        part.parent.mkdir(parents=True)
        part.write_bytes(DATA[: 4 * 2**20])
        before = len(network.sent)
        network.rules.append(Rule("drop", verb="stream"))

        await two.deploy("b", described(tmp_path / "1", ["host1"], FETCHED))

        asked = [verb for verb, _ in network.sent[before:] if verb == "stream"]
        assert len(asked) == 3  # the one that was lost, one whole piece, and the rest
        assert Store(tmp_path / "1").path(DIGEST).read_bytes() == DATA


async def test_what_has_another_digest_is_thrown_away_and_got_elsewhere(tmp_path, source):
    async with engines(tmp_path / "s", 3, threads=True) as (_network, (one, two, three)):
        await one.deploy("a", described(tmp_path / "0", image=source))
        await two.deploy("b", described(tmp_path / "1", image=source))
        spoiled = Store(tmp_path / "0").path(DIGEST)
        spoiled.chmod(0o600)
        spoiled.write_bytes(b"\0" * len(DATA))
        part = Store(tmp_path / "2").scratch(f"{DIGEST[7:]}.part")

        with pytest.raises(EngineError, match="what it gave is not the image"):
            await three.deploy("c", described(tmp_path / "2", ["host1"], FETCHED))
        assert not part.exists()

        await three.deploy("d", described(tmp_path / "2", ["host1", "host2"], FETCHED))
        assert Store(tmp_path / "2").path(DIGEST).read_bytes() == DATA


async def test_a_source_has_two_readers_at_most_and_names_those_who_are_done(tmp_path, source):
    async with engines(tmp_path / "s", 1, threads=True) as (_network, (one,)):
        await one.deploy("a", described(tmp_path / "0", image=source))
        pieces = one.process.services.get(Pieces)

        async def ask(reader, offset=0, limit=2**20):
            return await pieces.answer(PullPiece(DIGEST, reader, offset, limit))

        assert (await ask("x")).data == (await ask("y")).data == DATA[: 2**20]
        refused = await ask("z")
        assert (refused.busy, refused.data, refused.elsewhere) == (True, b"", ())
        assert (await ask("z", limit=0)).total == len(DATA)
        await ask("x", offset=5 * 2**20)
        assert (await ask("z")).data
        assert (await ask("w")).elsewhere == ("x",)


async def test_twelve_hosts_get_an_image_and_no_source_has_more_than_two_readers(tmp_path, source):
    async with engines(tmp_path / "s", 12, threads=True) as (_network, hosts):
        await hosts[0].deploy("a", described(tmp_path / "0", image=source))
        await asyncio.gather(
            *(
                host.deploy(f"b{n}", described(tmp_path / str(n), ["host1"], FETCHED))
                for n, host in enumerate(hosts[1:], start=1)
            )
        )
        assert all(Store(tmp_path / str(n)).find(DIGEST) for n in range(12))
        assert max(library(host).most_at_once for host in hosts) <= READERS
        assert sum(library(host).most_at_once > 0 for host in hosts) > 1


async def test_one_host_gets_an_image_once_however_many_want_it(tmp_path, source):
    images = "".join(FETCHED.replace("image ", f"image{n} ", 1) for n in range(6))
    async with engines(tmp_path / "s", 2, threads=True) as (network, (one, two)):
        await one.deploy("a", described(tmp_path / "0", image=source))
        before = len(network.sent)
        root = described(tmp_path / "1", ["host1"], images).replaced("sfConcurrency", 0)
        await two.deploy("b", root)

        assert [verb for verb, _ in network.sent[before:]].count("stream") == 6
        assert Store(tmp_path / "1").users(DIGEST) == 6


async def test_a_prefetched_image_is_there_when_the_store_has_started(tmp_path, source):
    async with engines(tmp_path / "s", 2, threads=True) as (_network, (one, two)):
        await one.deploy("a", described(tmp_path / "0", image=source))
        await two.deploy(
            "b", described(tmp_path / "1", ["host1"], more=f'prefetch [|"{DIGEST}"|];')
        )
        assert Store(tmp_path / "1").find(DIGEST)


async def test_a_copy_that_is_not_kept_goes_with_the_last_who_uses_it(tmp_path, source):
    leave = "keepImage false;"
    async with engines(tmp_path / "s", 2, threads=True) as (_network, (one, two)):
        own = source.replace("}", f"{leave} }}")
        await one.deploy("a", described(tmp_path / "0", image=own))
        fetched = FETCHED.replace("}", f"{leave} }}")
        await two.deploy("b", described(tmp_path / "1", ["host1"], fetched))
        await two.deploy("c", described(tmp_path / "1", ["host1"], fetched))
        await two.terminate("b")
        assert Store(tmp_path / "1").find(DIGEST)
        await two.terminate("c")
        assert Store(tmp_path / "1").find(DIGEST) is None
        await one.terminate("a")

    assert Store(tmp_path / "0").find(DIGEST) is None
    assert (tmp_path / "disk.img").read_bytes() == DATA


async def test_what_is_known_of_a_disk_is_told_with_what_can_be_seen(tmp_path, source):
    known = source.replace("}", 'osInfo [|"cloud-init", "etc"|]; format "raw"; }')
    async with engines(tmp_path / "s", 1, threads=True) as (_network, (one,)):
        await one.deploy("a", described(tmp_path / "0", image=known))
        facts = await one.call("a:image", "facts")

    assert (facts["kind"], facts["holds"]) == ("raw", ["cloud-init", "etc"])


async def test_where_it_is_may_be_known_at_the_start_only(tmp_path, source):
    other = source.replace("image extends", "first extends")
    image = f'{other} image extends BaseImage {{ source LAZY first:path; digest "{DIGEST}"; }}'
    async with engines(tmp_path / "s", 1, threads=True) as (_network, (one,)):
        await one.deploy("a", described(tmp_path / "0", image=image))
        facts = await one.call("a:image", "facts")
        assert facts["path"] == str(Store(tmp_path / "0").path(DIGEST))
        await one.terminate("a")

        wrong = image.replace('digest "', 'format "qcow2"; digest "')
        with pytest.raises(EngineError, match="is raw, not qcow2"):
            await one.deploy("a", described(tmp_path / "0", image=wrong))
        assert one.process.lives == {}


@pytest.mark.parametrize(
    ("image", "sources", "words"),
    [
        (FETCHED, [], "there is none"),
        (FETCHED, ["host1"], "nobody here offers"),
        ("image extends BaseImage { store LAZY ATTRIB images; }", [], "source must be given"),
        (f'image extends BaseImage {{ digest "{DIGEST}"; }}', [], "source must be given"),
        ('image extends BaseImage { store LAZY ATTRIB images; source "/usr/share/common-licenses"; }', [], "is a folder"),
        ('image extends BaseImage { source "DISK"; format "qcow2"; }', [], "is raw, not qcow2"),
        ('image extends BaseImage { source "DISK"; keepImage false; }', [], "for a copy in a store"),
        ('image extends BaseImage { source "DISK"; osInfo [|"windows"|]; }', [], "is none of etc, cloud-init"),
    ],
)  # fmt: skip
async def test_what_nobody_has_is_refused_in_words(tmp_path, image, sources, words):
    image = image.replace("DISK", str(tmp_path / "disk.img"))
    (tmp_path / "disk.img").write_bytes(DATA)
    async with engines(tmp_path / "s", 2, threads=True) as (_network, (_one, two)):
        with pytest.raises(EngineError, match=words):
            await two.deploy("b", described(tmp_path / "1", sources, image, "patience 1;"))
        assert two.process.lives == {}


@pytest.mark.parametrize(
    "wanted",
    [
        PullPiece(DIGEST, "x", -1), PullPiece(DIGEST, "x", 0, 2**20 + 1), PullPiece("s" * 201, "x"),
        PullPiece(DIGEST, "x" * 201), PullPiece("../../etc/passwd", "x"), PullPiece("sha256:zz", "x"),
    ],
)  # fmt: skip
async def test_a_strange_question_is_refused(tmp_path, source, wanted):
    async with engines(tmp_path / "s", 1, threads=True) as (_network, (one,)):
        await one.deploy("a", described(tmp_path / "0", image=source))
        with pytest.raises((Refused, NotFound)):
            await one.process.services.get(Pieces).answer(wanted)


def test_only_a_path_inside_a_store_is_taken_for_one(tmp_path):
    store = Store(tmp_path)
    path = tmp_path / "x"
    path.write_bytes(DATA)
    kept = store.keep(Source(path, "raw"))
    found = Store.holding(store.path(kept.digest))
    assert found is not None
    assert found[1] == DIGEST
    assert Store.holding(Path("/a")) is None
    assert Store.holding(tmp_path / DIGEST[7:]) is None
    assert store.facts(DIGEST) == ImageFacts(str(store.path(DIGEST)), "raw", len(DATA))
