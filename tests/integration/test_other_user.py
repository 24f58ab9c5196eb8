"""Sub-processes of another user: they are of the community, read nothing of ours, and end with us."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from engine.core.faults import Refused
from engine.core.records import Record
from engine.handover import User, check_reach, other_user
from engine.security.authority import Authority
from engine.settings import Settings
from engine.testing.daemons import daemons, wait_until
from engine.testing.kit import tree
from sfdl.values import Description

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root"),
]

GROUP = "engine.compound.Compound"
FILE = "engine.testing.components.FileMaker"
NOBODY = pwd.getpwnam("nobody")
TOP = "/" + Path(sys.base_prefix).parts[1]
OPEN = f"""
set -e
if ! setpriv --reuid={NOBODY.pw_uid} --regid={NOBODY.pw_gid} --clear-groups test -x {sys.base_prefix}/bin; then
    kept=$(mktemp -d); mount --bind {sys.base_prefix} $kept; mount -t tmpfs -o mode=755 open {TOP}
    mkdir -p {sys.base_prefix}; mount --move $kept {sys.base_prefix}
fi
exec "$@"
"""
SEEN = ("unshare", "--mount", "--propagation", "slave", "bash", "-c", OPEN, "bash")
"""Runs a daemon where everybody can get at the interpreter, wherever that is installed."""


@pytest.fixture
def place(tmp_path_factory):
    """A folder that others may enter, unlike those of tests."""
    folder = Path("/tmp") / f"sd-user-{os.getpid()}"
    folder.mkdir(mode=0o755)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def theirs(folder, name, **more):
    """A component in a process of nobody's; its file is where nobody may write."""
    config = Description((("user", "nobody"), *more.pop("config", ())), data=True)
    return {
        "sfClass": FILE, "file": str(folder / name), "sfProcessName": "apart",
        "sfProcessConfig": config, **more,
    }  # fmt: skip


def sub_processes(daemon):
    found = psutil.Process(daemon.pid).children(recursive=True)
    return [each for each in found if "engine.spawning" in " ".join(each.cmdline())]


def test_it_is_of_the_community_and_its_key_is_readable_by_it_alone(place):
    writable = place / "writable"
    writable.mkdir()
    os.chown(writable, NOBODY.pw_uid, NOBODY.pw_gid)
    with (
        daemons(place / "state", "one", "two", prefix=SEEN) as (one, two),
        closing(one.client()) as client,
    ):
        part = theirs(writable, "a", sfProcessHost="two")
        client.start("app", tree({"sfClass": GROUP, "a": part})).result()
        (process,) = sub_processes(two)
        assert process.uids().effective == NOBODY.pw_uid
        assert process.gids().effective == NOBODY.pw_gid
        assert (writable / "a").stat().st_uid == NOBODY.pw_uid
        rows = {row.path: row for row in client.whole_tree("app")}
        inside = closing(type(client)(rows["app:a"].address))
        with inside as direct:  # over TLS, which it could not speak without the key
            assert direct.hello().security == "tls"

        port = next((two.folder).glob("port-*"))
        (key,) = port.glob("handed/apart/*.key")
        facts = key.stat()
        assert (facts.st_uid, stat.S_IMODE(facts.st_mode)) == (NOBODY.pw_uid, 0o400)
        assert key.parent.stat().st_uid == 0
        files = [str(path) for path in (place / "state").rglob("*") if path.is_file()]
        words = 'for file; do if test -r "$file"; then echo "$file"; fi; done'
        nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        seen = subprocess.run(
            [*nobody, "bash", "-c", words, "bash", *files],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        assert str(key) in seen
        assert str(port / "ledger.sqlite") in files
        assert [line for line in seen if "/port-" in line and "/apart/" not in line] == []
        client.terminate("app", Record.normal()).result()
        assert not (writable / "a").exists()


def test_it_dies_with_its_daemon_and_comes_back_as_who_it_was(place):
    os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
    with daemons(place / "state", "one", prefix=SEEN) as (one,):
        with closing(one.client()) as client:
            client.start("app", tree({"sfClass": GROUP, "a": theirs(place, "a")})).result()
        (process,) = sub_processes(one)
        one.kill()
        wait_until(lambda: not process.is_running(), what="it died with its daemon")
        one.start()
        (process,) = wait_until(lambda: sub_processes(one), what="it was taken up")
        wait_until(lambda: process.uids().effective == NOBODY.pw_uid, what="it is nobody again")
        with closing(one.client()) as client:
            wait_until(lambda: {row.state for row in client.whole_tree("app")} == {"started"})
            assert (place / "a").exists()
            client.terminate("app", Record.normal()).result()
        assert not (place / "a").exists()


def test_a_renewed_certificate_reaches_it(place):
    os.chown(place, NOBODY.pw_uid, NOBODY.pw_gid)
    authority = Authority.create(place / "authority")
    authority.issue("daemon", "one", hosts=["127.0.0.1"])
    authority.issue("client", "ann", roles=[*map(_role, ["admin"])])

    def files(kind, name):
        at = place / "authority"
        return {"SMARTDOMAINS_CERT": str(at / f"{kind}-{name}.pem"),
                "SMARTDOMAINS_KEY": str(at / f"{kind}-{name}.key"), "SMARTDOMAINS_CA": str(at / "ca.pem")}  # fmt: skip

    with (
        pytest.MonkeyPatch.context() as patch,
        daemons(place / "state", "one", prefix=SEEN, SMARTDOMAINS_BIND="127.0.0.1",
                SMARTDOMAINS_DOMAIN="none", **files("daemon", "one")) as (one,),
    ):  # fmt: skip
        for name, text in files("client", "ann").items():
            patch.setenv(name, text)
        with closing(one.client()) as client:
            client.start("app", tree({"sfClass": GROUP, "a": theirs(place, "a")})).result()
            (copy,) = next(one.folder.glob("port-*")).glob("handed/apart/own.pem")
            authority.renew("one", hosts=["127.0.0.1"])
            new = (place / "authority" / "daemon-one.pem").read_bytes()
            wait_until(lambda: copy.read_bytes() == new, what="the copy follows")
            assert copy.stat().st_uid == NOBODY.pw_uid
            address = {row.path: row.address for row in client.whole_tree("app")}["app:a"]
            with closing(type(client)(address)) as direct:
                assert direct.hello().security == "tls"
            client.terminate("app", Record.normal()).result()


def _role(text):
    from engine.security.identity import Role

    return Role(text)


def test_what_cannot_be_is_refused_when_it_is_planned(place):
    """No such user; and a state folder that user may not reach."""
    (place / "closed").mkdir(mode=0o700)
    with daemons(place / "closed", "one", prefix=SEEN) as (one,), closing(one.client()) as client:
        for user, words in (("nobody-at-all", "no user"), ("nobody", "may not enter")):
            config = Description((("user", user),), data=True)
            part = {"sfClass": GROUP, "sfProcessName": "apart", "sfProcessConfig": config}
            root = tree({"sfClass": GROUP, "a": part})
            (problem,) = client.plan("app", root).problems
            assert words in problem.message
            with pytest.raises(Refused, match=words):
                client.start("app", root).result()
            assert list(client.whole_tree()) == []
        assert sub_processes(one) == []


def test_ones_own_user_is_nobody_else():
    assert other_user("root") is None
    assert other_user("0") is None
    assert other_user("nobody").uid == NOBODY.pw_uid


def test_the_folder_that_keeps_a_user_out_is_named(place):
    (place / "in").mkdir(mode=0o750)
    user = User("ann", 12345, 12345, frozenset({12345}), "/")
    with pytest.raises(Refused, match=f"ann may not enter {place}/in"):
        check_reach(user, Settings(state_dir=str(place / "in" / "state")))
