"""Attacks on a real daemon: everything is refused, is told of, and others are answered meanwhile."""

from __future__ import annotations

import collections
import contextlib
import random
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import textwrap
import threading
import time
import zlib

import msgpack
import pytest
from Pyro5 import protocol

from engine.client.client import Client
from engine.core.faults import Busy, EngineError, NotAllowed, Unreachable
from engine.core.records import Record
from engine.ports import free_port
from engine.security.authority import Authority
from engine.security.contexts import Contexts, Credentials
from engine.security.identity import Role
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import tree
from engine.wire.codec import encode
from engine.wire.messages import PROTOCOL, Hello
from tests.security.conftest import answered
from tests.security.test_fuzzing import corpus, fault_in, mutilated

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]
APPLICATION = tree({"sfClass": "engine.compound.Compound"})
HELLO = encode(Hello(PROTOCOL, "test"))


def plain(daemon, timeout_s=10.0):
    return socket.create_connection(("127.0.0.1", daemon.port), timeout_s)


def secured(community, daemon, who="viewer", timeout_s=10.0):
    """A TLS connection as somebody of the community, with nothing said on it yet."""
    context = community.contexts(who).client()
    return context.wrap_socket(plain(daemon, timeout_s), server_hostname="127.0.0.1")


def frame(kind, payload, *, flags=0, serializer=4, seq=0, size=None, annotations=0):
    """A message as Pyro frames it, with whatever is to be wrong about it."""
    size = len(payload) if size is None else size
    head = struct.pack("!4sHBBHHII16sHH", b"PYRO", 502, kind, serializer, flags, seq, size,
                       annotations, b"\0" * 16, 0, 0x4DC5)  # fmt: skip
    return head + payload


def greeting(serializer=4, encoded=None):
    payload = msgpack.packb({"handshake": "hello", "object": "node"})
    return frame(protocol.MSG_CONNECT, encoded or payload, serializer=serializer)


def call(verb="hello", message=HELLO, **wrong):
    payload = msgpack.packb(("node", verb, [message], {}))
    return frame(protocol.MSG_INVOKE, payload, **wrong)


def answer(sock):
    """Read one frame, or nothing if the other side hung up."""
    try:
        head = _exactly(sock, 40)
        kind, size = head[6], int.from_bytes(head[12:16], "big")
        return kind, _exactly(sock, size)
    except (OSError, EOFError):
        return None


def _exactly(sock, size):
    data = b""
    while len(data) < size:
        chunk = sock.recv(size - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return data


# -- who


def test_without_a_certificate_nobody_gets_past_the_handshake(community, daemon, refusals):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(community.folder / "ca.pem")
    with context.wrap_socket(plain(daemon), server_hostname="127.0.0.1") as sock:
        sock.sendall(greeting())
        with pytest.raises(ssl.SSLError, match="certificate required"):
            sock.recv(100)

    assert "no certificate was shown" in refusals()


def test_plain_text_is_not_listened_to(daemon, refusals):
    with plain(daemon) as sock:
        sock.sendall(greeting() + call())
        assert answer(sock) is None

    assert "does not speak TLS" in refusals()


def test_older_tls_is_refused(community, daemon, refusals):
    context = community.contexts("viewer").client()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with plain(daemon) as raw, pytest.raises(ssl.SSLError):
        context.wrap_socket(raw, server_hostname="127.0.0.1")

    assert "unsupported protocol" in refusals()


def test_a_certificate_of_a_foreign_authority_is_refused(community, daemon, tmp_path, refusals):
    foreign = Authority.create(tmp_path / "foreign", "smartdomains")
    issued = foreign.issue("client", "admin", roles=[Role.ADMIN])
    files = Credentials(issued.file, issued.file.with_suffix(".key"),
                        community.folder / "ca.pem", tmp_path / "none")  # fmt: skip
    client = Client(daemon.address, security=lambda: Contexts(files))

    with pytest.raises(NotAllowed, match=r"another authority|refused us"):
        client.hello()
    assert "certificate refused" in refusals()


def test_a_daemon_of_a_foreign_authority_is_not_believed(daemon, tmp_path):
    foreign = Authority.create(tmp_path / "foreign", "smartdomains")
    issued = foreign.issue("client", "admin", roles=[Role.ADMIN])
    files = Credentials.of(
        str(issued.file), str(issued.file.with_suffix(".key")), str(tmp_path / "foreign/ca.pem")
    )
    with pytest.raises(NotAllowed, match="not believed"):
        Client(daemon.address, security=lambda: Contexts(files)).hello()


def test_an_expired_certificate_is_refused(community, daemon, monkeypatch, refusals):
    community.issue_expired(monkeypatch, "client", "late", roles=[Role.ADMIN])

    with pytest.raises(NotAllowed, match="has expired"):
        community.client(daemon.address, "late").hello()
    assert "certificate has expired" in refusals()


def test_a_daemon_at_another_address_than_its_certificate_names_is_not_believed(
    community, tmp_path
):
    settings = community.settings("elsewhere")
    with (
        daemons(tmp_path, "one", SMARTDOMAINS_BIND="127.0.0.1", **settings) as (one,),
        pytest.raises(NotAllowed, match=r"not believed.*127\.0\.0\.1"),
    ):
        community.client(one.address, "admin").hello()


def test_a_clients_certificate_makes_no_daemon(community, tmp_path):
    files = community.files("admin")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(files.cert, files.key)

        def serve():
            with contextlib.suppress(OSError):
                context.wrap_socket(listening.accept()[0], server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(NotAllowed, match="not believed"):
            community.client(f"127.0.0.1:{listening.getsockname()[1]}", "viewer").hello()
        thread.join(timeout=10)
    done = subprocess.run(
        [f"{sys.prefix}/bin/sfdaemon", "--cert", files.cert, "--key", files.key, "--ca", files.ca,
         "--state-dir", tmp_path, "--port", str(free_port())],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 5
    assert "client's certificate" in done.stderr


def test_a_key_that_others_can_read_is_refused(community, tmp_path):
    files = community.files("one")
    key = tmp_path / "open.key"
    shutil.copy(files.key, key)
    key.chmod(0o640)
    with pytest.raises(NotAllowed, match="read by others"):
        Contexts(Credentials(files.cert, key, files.ca, tmp_path / "none"))


def test_a_revoked_certificate_is_refused_also_on_a_connection_it_has(tmp_path):
    authority = Authority.create(tmp_path / "authority")
    for kind, name, given in (
        ("daemon", "one", {"hosts": ["127.0.0.1"]}),
        ("client", "mallory", {"roles": [Role.ADMIN]}),
        ("client", "alice", {"roles": [Role.ADMIN]}),
    ):
        authority.issue(kind, name, **given)

    def files(name):
        file = next((tmp_path / "authority").glob(f"*-{name}.pem"))
        ca = tmp_path / "authority" / "ca.pem"
        return Credentials.of(str(file), str(file.with_suffix(".key")), str(ca))

    one = files("one")
    mallorys = Contexts(files("mallory"))
    alices = Contexts(files("alice"))
    with daemons(
        tmp_path / "state", "one", SMARTDOMAINS_BIND="127.0.0.1", SMARTDOMAINS_CERT=str(one.cert),
        SMARTDOMAINS_KEY=str(one.key), SMARTDOMAINS_CA=str(one.ca),
    ) as (daemon,):  # fmt: skip
        mallory = Client(daemon.address, security=lambda: mallorys)
        alice = Client(daemon.address, security=lambda: alices)
        mallory.hello()
        alice.hello()
        raw = mallorys.client().wrap_socket(plain(daemon), server_hostname="127.0.0.1")
        raw.sendall(greeting())
        assert answer(raw)[0] == protocol.MSG_CONNECTOK

        authority.revoke("mallory")

        with pytest.raises(NotAllowed, match="revoked"):
            mallory.hello()
        with pytest.raises(NotAllowed, match="revoked"):
            Client(daemon.address, security=lambda: mallorys).hello()
        raw.settimeout(15)
        assert raw.recv(100) == b""  # hung up, though it asked nothing
        raw.close()
        alice.hello()
        rows, _, _ = alice.events("0", kinds=("security",))
        assert any("revoked" in row.body.text for row in rows)

        (tmp_path / "authority" / "crl.pem").write_text("half a li")
        with pytest.raises(NotAllowed, match="revoked"):
            Client(daemon.address, security=lambda: mallorys).hello()
        (tmp_path / "authority" / "crl.pem").unlink()
        with pytest.raises(NotAllowed, match="revoked"):
            Client(daemon.address, security=lambda: mallorys).hello()


# -- what


def test_a_viewer_may_look_but_neither_start_nor_end_nor_stop(community, daemon, refusals):
    admin = community.client(daemon.address, "admin")
    admin.start("seen", APPLICATION).result()
    viewer = community.client(daemon.address, "viewer")
    try:
        assert [row.path for row in viewer.whole_tree("seen")] == ["seen"]
        assert viewer.ping("seen").state == "started"
        with pytest.raises(NotAllowed, match=r"viewer \(viewer\) may not terminate"):
            viewer.terminate("seen", Record.normal()).result()
        with pytest.raises(NotAllowed):
            viewer.start("other", APPLICATION).result()
        with pytest.raises(NotAllowed):
            viewer.stop().result()
        with pytest.raises(NotAllowed):
            community.client(daemon.address, "operator").stop().result()
        assert "viewer (viewer) may not" in refusals()
        assert [row.path for row in viewer.whole_tree("seen")] == ["seen"]
    finally:
        admin.terminate("seen", Record.normal()).result()


def test_the_command_of_a_viewer_that_ends_something_is_exit_code_5(community, daemon):
    files = community.files("viewer")
    done = subprocess.run(
        [f"{sys.prefix}/bin/sfterminate", "localhost", "seen", "-p", str(daemon.port), "--cert",
         files.cert, "--key", files.key, "--ca", files.ca],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 5, done.stderr
    assert "may not terminate" in done.stderr
    assert "help" in done.stderr


def test_an_operator_limited_to_names_cannot_touch_other_applications(community, daemon):
    admin = community.client(daemon.address, "admin")
    web = community.client(daemon.address, "web")
    admin.start("pool", APPLICATION).result()
    try:
        web.start("web-1", APPLICATION).result()
        with pytest.raises(NotAllowed, match="limited to web-"):
            web.start("other", APPLICATION).result()
        with pytest.raises(NotAllowed, match="limited to web-"):
            web.terminate("pool", Record.normal()).result()
        web.terminate("web-1", Record.normal()).result()
        assert [row.path for row in admin.whole_tree("pool")] == ["pool"]
    finally:
        admin.terminate("pool", Record.normal()).result()


# -- how much


def test_300_silent_connections_hold_up_nobody(community, daemon, answered_throughout):
    with contextlib.ExitStack() as silent, answered_throughout():
        for _ in range(300):
            silent.enter_context(contextlib.closing(plain(daemon)))
        time.sleep(2)


def test_connections_that_speak_slowly_are_ended_and_hold_up_nobody(
    community, daemon, answered_throughout
):
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200
    with contextlib.ExitStack() as slow, answered_throughout():
        sockets = [slow.enter_context(contextlib.closing(plain(daemon))) for _ in range(100)]
        known = slow.enter_context(contextlib.closing(secured(community, daemon, "operator")))
        began = time.monotonic()
        left = set(sockets)
        for byte in range(90):
            for sock in list(left):
                try:
                    sock.sendall(hello[byte : byte + 1])
                except OSError:
                    left.discard(sock)
            with contextlib.suppress(OSError):
                known.sendall(greeting()[byte % 40 : byte % 40 + 1])
            if not left:
                break
            time.sleep(0.1)
        assert not left, f"{len(left)} are still connected after {time.monotonic() - began:.0f} s"
        assert time.monotonic() - began < 9


def test_a_greeting_that_comes_too_late_is_refused_in_words_a_client_understands(community, daemon):
    with secured(community, daemon, timeout_s=15.0) as sock:
        kind, payload = answer(sock)  # to nothing: the time for a greeting is over
        assert (kind, msgpack.unpackb(payload)) == (protocol.MSG_CONNECTFAIL, "receiving: timeout")

    def refuse(listener):
        with listener.accept()[0] as sock:
            _exactly(sock, 40)
            sock.sendall(frame(protocol.MSG_CONNECTFAIL, payload))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        late = threading.Thread(target=refuse, args=(listener,))
        late.start()
        client = Client(f"127.0.0.1:{listener.getsockname()[1]}", security=lambda: None)
        with pytest.raises(Unreachable, match="did not read our greeting in time"):
            client.hello()
        client.close()
        late.join(10)


def test_a_certificate_has_32_connections_and_no_more(community, daemon):
    clients = [community.client(daemon.address, "operator") for _ in range(33)]
    try:
        for client in clients[:32]:
            client.hello()
        with pytest.raises(Busy, match="32 connections"):
            clients[32].hello()
        community.client(daemon.address, "viewer").hello()
        clients[0].close()
        wait_until(lambda: _enters(clients[32]), what="a place becomes free")
    finally:
        for client in clients:
            client.close()


def _enters(client):
    try:
        return client.hello()
    except Busy:
        return None


def test_too_many_requests_are_refused_and_a_daemons_never(community, daemon, answered_throughout):
    hasty, peer = secured(community, daemon, "web"), secured(community, daemon, "one")
    with hasty, peer, answered_throughout():
        for sock in (hasty, peer):
            sock.sendall(greeting())
            assert answer(sock)[0] == protocol.MSG_CONNECTOK
        refused = {"hasty": 0, "peer": 0}
        for _ in range(1200):
            for name, sock in (("hasty", hasty), ("peer", peer)):
                sock.sendall(call())
                refused[name] += b"asks too often" in answer(sock)[1]
    assert refused["peer"] == 0
    assert 0 < refused["hasty"] < 801


@pytest.mark.parametrize(
    "sent",
    [
        frame(protocol.MSG_INVOKE, b"", size=2**30),
        frame(protocol.MSG_INVOKE, b"x" * 1000, size=17 * 2**20),
        frame(protocol.MSG_INVOKE, b"", annotations=2**24 + 1),
        frame(protocol.MSG_INVOKE, b"ABCD\0\0\0\0", annotations=8, size=0),
        frame(protocol.MSG_INVOKE, zlib.compress(b"\0" * 2**26), flags=protocol.FLAGS_COMPRESSED),
        call(flags=protocol.FLAGS_ONEWAY),
        call(flags=protocol.FLAGS_BATCH),
        call(flags=protocol.FLAGS_KEEPSERIALIZED),
        call(verb="__getattr__"),
        call(verb="_handle"),
        frame(protocol.MSG_INVOKE, msgpack.packb(("Pyro.Daemon", "registered", [], {}))),
        frame(protocol.MSG_INVOKE, b"\xdd\x00\xff\xff\xff" + b"\xc0" * 1000),
        frame(protocol.MSG_INVOKE, b"\x91" * 100_000),
        frame(protocol.MSG_INVOKE, msgpack.packb(("node", "hello", [{"__class__": "x"}], {}))),
        frame(protocol.MSG_RESULT, b""),
        frame(protocol.MSG_INVOKE, b"", serializer=9),
        b"GET / HTTP/1.1\r\n\r\n" + b"\0" * 40,
    ],
)
def test_a_message_that_is_none_of_ours_ends_the_connection_and_nothing_else(
    community, daemon, sent, answered_throughout
):
    with answered_throughout(), secured(community, daemon) as sock:
        sock.sendall(greeting())
        assert answer(sock)[0] == protocol.MSG_CONNECTOK
        with contextlib.suppress(OSError):
            sock.sendall(sent)
        found = answer(sock)
        assert found is None or b"rror" in found[1]
    community.client(daemon.address, "viewer").hello()


@pytest.mark.parametrize("name", ["marshal", "serpent", "json"])
def test_payloads_of_other_decoders_are_refused_across_processes(
    community, daemon, name, answered_throughout
):
    """The attacker is plain Pyro5 as it comes, with a good certificate."""
    files = community.files("admin")
    code = f"""
        import Pyro5, Pyro5.api, Pyro5.socketutil, ssl
        config = Pyro5.config
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations({str(files.ca)!r})
        context.load_cert_chain({str(files.cert)!r}, {str(files.key)!r})
        Pyro5.socketutil.get_ssl_context = lambda **_: context
        config.SSL, config.SERIALIZER = True, SERIALIZER
        try:
            with Pyro5.api.Proxy("PYRO:node@127.0.0.1:{daemon.port}") as proxy:
                print("answered", proxy.hello({HELLO!r}))
        except Exception as error:
            print("refused", type(error).__name__, error)
    """
    seen = {}
    with answered_throughout(1.5):  # two interpreters start meanwhile
        for serializer in (name, "msgpack"):
            text = textwrap.dedent(code).replace("= True, SERIALIZER", f"= True, {serializer!r}")
            done = subprocess.run(
                [sys.executable, "-c", text], capture_output=True, text=True, timeout=60,
                check=False,
            )  # fmt: skip
            seen[serializer] = done.stdout + done.stderr
    assert "refused" in seen[name], seen[name]
    assert "only msgpack is accepted" in seen[name]
    assert "answered" in seen["msgpack"], seen["msgpack"]


def test_5000_mutilated_messages_over_tls_do_no_harm(community, daemon, answered_throughout):
    chance = random.Random(3800)
    good = [greeting(), call(), call("read"), call("beat", b"\x80"), call("stream", b"\x80")]
    sent = 0
    with answered_throughout(1.0):
        while sent < 5000:
            sock = secured(community, daemon, "operator")
            with sock, contextlib.suppress(OSError):
                if chance.random() < 0.8:
                    sock.sendall(greeting())
                    assert answer(sock)[0] == protocol.MSG_CONNECTOK
                burst = bytearray()
                for _ in range(40):
                    data = bytearray(chance.choice(good))
                    for _ in range(chance.randint(1, 6)):
                        data[chance.randrange(len(data))] = chance.randrange(256)
                    if chance.random() < 0.2:
                        del data[chance.randrange(len(data)) :]
                    burst += data
                    sent += 1
                sock.settimeout(0.05)
                sock.sendall(burst)
                while sock.recv(65536):
                    pass
    diagnosis = dict(community.client(daemon.address, "admin").diagnosis().facts)
    assert int(diagnosis["threads"]) < 120
    assert "Traceback" not in daemon.log.read_text()


@pytest.mark.timeout(900)
def test_100000_malformed_messages_are_refused_one_by_one_and_others_are_answered(
    community, tmp_path
):
    """In whole frames, so that each is read: by somebody with another daemon's certificate, whom no
    quota stops."""
    chance, good = random.Random(100_000), corpus()
    kinds = collections.Counter()
    settings = {**community.settings("one"), "SMARTDOMAINS_SUBPROCESSES": "false"}
    with (
        daemons(tmp_path, "one", SMARTDOMAINS_BIND="127.0.0.1", **settings) as (one,),
        answered(community, one),
    ):
        sent = 0
        while sent < 100_000:
            with secured(community, one, "elsewhere", timeout_s=3.0) as sock:
                sock.sendall(greeting())
                assert answer(sock)[0] == protocol.MSG_CONNECTOK
                kind = "answered"
                while sent < 100_000 and kind != "hung up":
                    burst = [_malformed(chance, *chance.choice(good), sent + n) for n in range(50)]
                    sent += len(burst)
                    sock.sendall(b"".join(call(verb, message) for verb, message in burst))
                    for verb, _ in burst:
                        kind = _answered_how(sock, verb)
                        kinds[kind] += 1
                        if kind == "hung up":
                            break
        diagnosis = dict(community.client(one.address, "admin").diagnosis().facts)
        assert int(diagnosis["threads"]) < 120
        assert "Traceback" not in one.log.read_text()
    assert kinds["Internal"] == 0, kinds
    assert kinds["hung up"] < 100, kinds  # a wait that was made long, and nothing else
    assert kinds["Refused"] + kinds["NotAllowed"] > 30_000, kinds


def _malformed(chance, verb, good, number):
    if verb == "submit":  # a request id of its own, or it would be an earlier one's
        good = good.replace(b"\xa1r", encode(f"r{number}"), 1)
    return verb, mutilated(chance, good)


def _answered_how(sock, verb):
    found = answer(sock)
    if found is None:
        return "hung up"
    fault = fault_in(verb, msgpack.unpackb(found[1]))
    return "answered" if fault is None else fault.kind.value


# -- without TLS


def test_an_insecure_daemon_says_so_and_a_secure_one_cannot_be_asked_in_plain(daemon, tmp_path):
    words = [f"{sys.prefix}/bin/sfping", "localhost", "--insecure", "-p"]
    with daemons(tmp_path, "open", SMARTDOMAINS_INSECURE="1") as (opened,):
        done = subprocess.run([*words, str(opened.port)], capture_output=True, text=True,
                              timeout=30, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "INSECURE" in done.stdout
        words[0] = f"{sys.prefix}/bin/sfstatus"
        done = subprocess.run([*words, str(opened.port)], capture_output=True, text=True,
                              timeout=30, check=False)  # fmt: skip
        assert "INSECURE" in done.stderr
        with pytest.raises(EngineError, match=r"not a daemon of this protocol|cannot be reached"):
            opened.client().hello()
    with pytest.raises((Unreachable, EngineError)):
        Client(daemon.address, security=lambda: None).hello()
