"""Files over HTTP: served from one folder only; fetched whole, verified, taken up again."""

from __future__ import annotations

import hashlib
import http.client
import http.server
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sfdl
from components.web.download import forget_old
from components.web.server import Servers, span
from engine.core.faults import EngineError
from engine.core.records import Record
from engine.ports import free_port
from engine.prim import Unwell
from engine.testing.kit import engines
from tests.components.system.refusals import refuses

HEAD = '#include "components/web.sf"\n#include "components/system.sf"\n'
CONTENT = bytes(range(256)) * 4096


def text(body, more=""):
    return f"{HEAD}sfConfig extends Compound {{ w extends {body} {more} }}"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    (folder / "sub").mkdir(parents=True)
    (folder / "image").write_bytes(CONTENT)
    (folder / "sub" / "a b").write_text("spaced")
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    return folder


@pytest.fixture
def served(root):
    """The port of a server for the folder."""
    servers = Servers()
    try:
        yield servers.open("test", str(root), "127.0.0.1", 0)
    finally:
        servers.end("test")


def ask(port, path, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=False)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


# -- the server


def test_files_are_served_whole_or_in_part(served):
    status, body, headers = ask(served, "/image")
    assert (status, body) == (200, CONTENT)
    assert ask(served, "/sub/a%20b?x=1")[1] == b"spaced"
    assert ask(served, "/image", "HEAD")[:2] == (200, b"")

    assert ask(served, "/image", Range="bytes=10-19")[:2] == (206, CONTENT[10:20])
    assert ask(served, "/image", Range="bytes=-5")[:2] == (206, CONTENT[-5:])
    assert ask(served, "/image", Range="bytes=99999999-")[0] == 416
    assert ask(served, "/image", Range="bytes=10-", If_Range=headers["ETag"])[0] == 206
    assert ask(served, "/image", Range="bytes=10-", If_Range='"other"')[:2] == (200, CONTENT)


ESCAPES = [
    "/../secret", "/..%2fsecret", "/%2e%2e/secret", "/sub/../../secret", "//etc/passwd", "/link",
    "/up/secret", "/pipe", "/", "/sub", "/sub/", "/no", "/%00", "/image%00", "/%ff%fe",
    "/....//secret", "/.\\../secret", "/sub/%2e%2e/%2e%2e/secret",
]  # fmt: skip


@pytest.mark.parametrize("path", ESCAPES)
def test_nothing_but_plain_files_below_the_folder_is_reached(served, path):
    status, body, _ = ask(served, path)

    assert status in {400, 404}
    assert b"root:" not in body
    assert b"secret" not in body.replace(b"/secret", b"")


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
def test_nothing_can_be_written(served, root, method):
    assert ask(served, "/image", method, Content_Length="0")[0] == 501
    assert (root / "image").read_bytes() == CONTENT


@given(
    size=st.integers(0, 50),
    first=st.none() | st.integers(0, 60),
    last=st.none() | st.integers(0, 60),
)
def test_a_part_is_what_the_standard_says(size, first, last):
    whole = list(range(size))
    header = f"bytes={'' if first is None else first}-{'' if last is None else last}"
    if first is None:
        wanted = whole[-last:] if last else []
    else:
        wanted = whole[first:] if last is None else whole[first : last + 1]
    try:
        part = span(header, size)
    except ValueError:
        assert wanted == []
        return
    if part is None:
        assert first is None
        assert last is None
    else:
        assert whole[part[0] : part[1]] == wanted
        assert wanted


async def test_a_server_listens_while_its_component_lives(bench, root):
    await bench.deploy(text(f'HttpServer {{ root "{root}"; }}'))
    live = bench.find("w")
    port = live.value("listens")

    assert live.value("url") == f"http://127.0.0.1:{port}/"
    assert ask(port, "/image")[1] == CONTENT
    await live.prim.check()
    await bench.one.terminate("app")
    with pytest.raises(OSError, match="refused"):
        ask(port, "/image")


async def test_a_folder_that_is_gone_is_unwell(bench, tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    await bench.deploy(text(f'HttpServer {{ root "{folder}"; }}'))
    folder.rmdir()

    with pytest.raises(Unwell, match="is gone"):
        await bench.find("w").prim.check()
    await bench.one.terminate("app")


async def test_a_port_that_is_taken_fails_the_start(bench, root, served):
    with pytest.raises(EngineError, match=f"port {served}: Address already in use"):
        await bench.deploy(text(f'HttpServer {{ root "{root}"; port {served}; }}'))


# -- fetching


class Moody(http.server.BaseHTTPRequestHandler):
    """A server that breaks off, changes its mind, or answers with an error, as the test says."""

    def do_GET(self):
        mood = self.server.mood
        self.server.asked.append(self.headers.get("Range", ""))
        if mood.get("status"):
            self.send_error(mood["status"])
            return
        content, etag = mood["content"], mood.get("etag", '"1"')
        first = 0
        wanted = self.headers.get("Range")
        if wanted and self.headers.get("If-Range") == etag and mood.get("ranges", True):
            first = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - first))
        self.send_header("ETag", etag)
        self.end_headers()
        cut = mood.pop("cut", None)
        self.wfile.write(content[first : len(content) if cut is None else cut])
        if mood.get("hang"):
            mood["hang"].wait(30)

    def log_message(self, *args):
        pass


@pytest.fixture
def moody():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    server.mood = {"content": CONTENT}
    server.asked = []
    server.url = f"http://127.0.0.1:{server.server_port}/image"
    work = threading.Thread(target=server.serve_forever, args=(0.05,))
    work.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        work.join()


def fetch(url, to, more=""):
    return f'Download {{ url "{url}"; to "{to}"; {more} }}'


SHA = hashlib.sha256(CONTENT).hexdigest()


async def test_a_file_is_fetched_from_a_server_of_ours(bench, root, tmp_path):
    body = f'HttpServer {{ root "{root}"; port {free_port()}; }}'
    await bench.deploy(text(body), "site")
    url = bench.find("w").value("url")
    more = f'sha256 "{SHA}"; mode "0640"; deleteOnExit true;'
    await bench.deploy(text(fetch(f"{url}image", tmp_path / "to", more)))

    assert (tmp_path / "to").read_bytes() == CONTENT
    assert (tmp_path / "to").stat().st_mode & 0o777 == 0o640
    await bench.one.terminate("app")
    assert not (tmp_path / "to").exists()
    await bench.one.terminate("site")


async def test_a_fetch_that_broke_off_is_taken_up_where_it_stopped(bench, moody, tmp_path):
    moody.mood["cut"] = 300_000
    await bench.deploy(text(fetch(moody.url, tmp_path / "to", f'sha256 "{SHA}";')))

    assert (tmp_path / "to").read_bytes() == CONTENT
    assert moody.asked == ["", "bytes=300000-"]
    await bench.one.terminate("app")


async def test_it_begins_anew_if_told_to_or_if_the_server_cannot(bench, moody, tmp_path):
    moody.mood["cut"] = 300_000
    await bench.deploy(text(fetch(moody.url, tmp_path / "to", "resume false;")))
    assert moody.asked == ["", ""]
    await bench.one.terminate("app")

    moody.asked.clear()
    moody.mood |= {"cut": 300_000, "ranges": False}
    await bench.deploy(text(fetch(moody.url, tmp_path / "to")))
    assert moody.asked == ["", "bytes=300000-"]
    assert (tmp_path / "to").read_bytes() == CONTENT
    await bench.one.terminate("app")


async def test_what_is_not_what_was_asked_for_is_not_put_in_place(bench, moody, tmp_path):
    (tmp_path / "to").write_text("before")
    moody.mood["content"] = b"other"

    with pytest.raises(EngineError, match="not " + SHA):
        await bench.deploy(text(fetch(moody.url, tmp_path / "to", f'sha256 "{SHA}";')))

    assert (tmp_path / "to").read_text() == "before"
    assert list((bench.work / "downloads").iterdir()) == []


async def test_what_is_cached_is_not_fetched_again_while_it_is_fresh(bench, moody, tmp_path):
    for n, more in enumerate(("", f'sha256 "{SHA}";', f'sha256 "{SHA}";')):
        await bench.deploy(text(fetch(moody.url, tmp_path / f"{n}", more)))
        assert bench.find("w").value("cached") is (n == 2)
        await bench.one.terminate("app")
    await bench.deploy(text(fetch(moody.url, tmp_path / "x", 'maxCacheAge "1h";')))
    assert bench.find("w").value("cached") is True
    assert bench.find("w").value("digest") == SHA
    await bench.one.terminate("app")
    assert len(moody.asked) == 2


async def test_two_that_want_the_same_file_fetch_it_once(bench, moody, tmp_path):
    more = f'sha256 "{SHA}";'
    two = f"v extends {fetch(moody.url, tmp_path / 'b', more)}"
    await bench.deploy(text(fetch(moody.url, tmp_path / "a", more), two))

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT
    assert len(moody.asked) == 1
    await bench.one.terminate("app")


@pytest.mark.parametrize("status", [404, 500])
async def test_an_error_of_the_server_fails_the_start(bench, moody, tmp_path, status):
    moody.mood["status"] = status

    with pytest.raises(EngineError, match=f"answers with {status}"):
        await bench.deploy(text(fetch(moody.url, tmp_path / "to")))

    assert not (tmp_path / "to").exists()


async def test_nobody_there_fails_the_start_in_time(bench, tmp_path):
    url = f"http://127.0.0.1:{free_port()}/x"
    with pytest.raises(EngineError, match="cannot be fetched"):
        await bench.deploy(text(fetch(url, tmp_path / "to", 'timeout "500ms";')))


async def test_a_server_that_hangs_fails_the_start_in_time(bench, moody, tmp_path):
    moody.mood |= {"cut": 10, "hang": threading.Event()}
    try:
        with pytest.raises(EngineError, match="was not fetched within"):
            await bench.deploy(text(fetch(moody.url, tmp_path / "to", 'timeout "500ms";')))
    finally:
        moody.mood["hang"].set()
    assert not (tmp_path / "to").exists()


async def test_a_failure_in_the_middle_puts_back_what_was_there(bench, moody, tmp_path):
    (tmp_path / "to").write_text("before")
    failing = 'z extends Script { shell LAZY ATTRIB none; startScript "x"; }'

    with pytest.raises(EngineError):
        await bench.deploy(text(fetch(moody.url, tmp_path / "to"), failing))

    assert (tmp_path / "to").read_text() == "before"


def test_what_nobody_used_for_a_week_leaves_the_cache(tmp_path):
    for name, age_s in (("old", 8 * 86_400), ("new", 60)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1e9 - age_s, 1e9))

    forget_old(tmp_path, 1e9)

    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.integration
@pytest.mark.parametrize("when", ["making", "made"])
def test_a_daemon_killed_meanwhile_leaves_all_as_it_was(tmp_path, moody, when):
    from engine.client.client import DaemonUnreachable
    from engine.testing.daemons import daemons
    from engine.testing.sabotage import Plan

    (tmp_path / "to").write_text("before")
    root = sfdl.compile(text(fetch(moody.url, tmp_path / "to", f'sha256 "{SHA}";'))).root
    with daemons(tmp_path, "one") as (one,):
        one.stop()
        one.start(sabotage=[Plan("FileChange", when, "kill")])
        client = one.client()
        with pytest.raises(DaemonUnreachable):
            client.start("app", root).result()
        client.close()
        one.reap()
        one.start()
        assert (tmp_path / "to").read_text() == "before"

        client = one.client()
        client.start("app", root).result()
        assert (tmp_path / "to").read_bytes() == CONTENT
        assert len(moody.asked) == 1
        client.terminate("app", Record.normal()).result()
        client.close()


@pytest.mark.integration
def test_a_server_listens_at_the_same_port_after_a_restart_of_its_daemon(tmp_path, root):
    from engine.testing.daemons import daemons

    with daemons(tmp_path, "one") as (one,):
        client = one.client()
        client.start("app", sfdl.compile(text(f'HttpServer {{ root "{root}"; }}')).root).result()
        port = int({row.name: row.value for row in client.attributes("app:w")}["listens"])
        one.kill()
        with pytest.raises(OSError, match="refused"):
            ask(port, "/image")
        one.start()
        assert ask(port, "/image")[1] == CONTENT
        client.terminate("app", Record.normal()).result()
        client.close()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ('Download { to "/x"; }', "`url` in .* is TBD"),
        ('Download { url "ftp://x/y"; to "/x"; }', "url: must be an address"),
        ('Download { url "http://x/y z"; to "/x"; }', "url: must be an address"),
        ('Download { url "http://x/y"; to "x"; }', "to: x must be an absolute path"),
        ('Download { url "http://x/y"; to "/x"; sha256 "abc"; }', "sha256: must be a SHA-256"),
        ('Download { url "http://x/y"; to "/x"; maxCacheAge "x"; }', "maxCacheAge: must be a dur"),
        ('Download { url "http://x/y"; to "/x"; timeout 0; }', "timeout: must be at least"),
        ('Download { url "http://x/y"; to "/x"; timeout "2h"; }', "does not fit into sfStartTime"),
        ('Download { url "http://x/y"; to "/x"; resume 1; }', "has to be Boolean"),
        ("HttpServer;", "`root` in .* is TBD"),
        ('HttpServer { root "x"; }', "root: x must be an absolute path"),
        ('HttpServer { root "/"; bind "localhost"; }', "bind: must be an IP address"),
        ('HttpServer { root "/"; port 70000; }', "port: must be at most 65535"),
    ],
)  # fmt: skip
async def test_bad_attributes_are_refused_before_anything_starts(tmp_path, wrong, match):
    await refuses(tmp_path, wrong, match)


async def test_a_folder_that_is_not_there_cannot_be_served(tmp_path):
    root = sfdl.compile(text(f'HttpServer {{ root "{tmp_path}/no"; }}')).root
    async with engines(tmp_path / "state", threads=True) as (_, (one,)):
        with pytest.raises(EngineError, match="there is no folder"):
            await one.deploy("app", root)
    assert not Path(tmp_path, "no").exists()
