"""The authority tool: what is issued, to whom, for how long, and what becomes of it."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from engine.security.community import for_daemon
from engine.security.contexts import Contexts, Credentials
from engine.security.identity import read_certificate

BIN = Path(sys.executable).parent


def sfca(*words, folder, code=0):
    done = subprocess.run(
        [str(BIN / "sfca"), *map(str, words)], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, "SMARTDOMAINS_COMMUNITY_DIR": str(folder)},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    return done


@pytest.fixture
def folder(tmp_path):
    sfca("init", "lab", folder=tmp_path / "ca")
    return tmp_path / "ca"


def test_keys_are_their_owners_alone_and_on_the_curve_specified(folder):
    sfca("issue", "daemon", "node7", "--hosts", "node7,10.0.0.7", "--hosts", "::1", folder=folder)

    for key in folder.glob("*.key"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600, key
    found = x509.load_pem_x509_certificate((folder / "daemon-node7.pem").read_bytes())
    assert isinstance(found.public_key().curve, ec.SECP256R1)
    days = (found.not_valid_after_utc - found.not_valid_before_utc).days
    assert days == 365
    own = read_certificate(folder / "daemon-node7.pem")
    assert own.hosts == ("node7", "10.0.0.7", "::1")
    assert "urn:smartdomains:role:peer" in [
        name.value
        for name in found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        if isinstance(name, x509.UniformResourceIdentifier)
    ]


def test_what_was_issued_can_be_listed_shown_renewed_and_revoked(folder):
    sfca("issue", "client", "ann", "--roles", "viewer,operator", "--names", "web-*", folder=folder)
    first = json.loads(sfca("show", "ann", "--json", folder=folder).stdout)["result"][0]
    assert (first["roles"], first["names"], first["state"]) == (
        ["operator", "viewer"], ["web-*"], "valid",
    )  # fmt: skip

    sfca("renew", "ann", "--days", "30", folder=folder)
    listed = json.loads(sfca("list", "--json", folder=folder).stdout)["result"]
    assert [each["state"] for each in listed] == ["valid", "valid"]
    assert len({each["serial"] for each in listed}) == 2
    assert all(each["names"] == ["web-*"] for each in listed)

    out = sfca("revoke", "ann", folder=folder).stdout
    assert "revoked 2 certificates" in out
    listed = json.loads(sfca("list", "--json", folder=folder).stdout)["result"]
    assert [each["state"] for each in listed] == ["revoked", "revoked"]
    crl = x509.load_pem_x509_crl((folder / "crl.pem").read_bytes())
    assert {format(entry.serial_number, "X") for entry in crl} == {
        each["serial"].lstrip("0") for each in listed
    }
    sfca("issue", "client", "ann", "--roles", "viewer", folder=folder)
    assert "ann" in sfca("list", folder=folder).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["init"], 8, "already"),
        (["issue", "daemon", "x"], 1, "--hosts"),
        (["issue", "daemon", "x", "--hosts", "a b"], 1, "neither a host name nor an address"),
        (["issue", "daemon", "../x", "--hosts", "x"], 1, "no name for a certificate"),
        (["issue", "client", "x"], 1, "--roles"),
        (["issue", "client", "x", "--roles", "king"], 2, "king"),
        (["issue", "client", "x", "--roles", "peer"], 2, "peer"),
        (["issue", "client", "x", "--roles", "viewer", "--names", "w*"], 1, "operator only"),
        (["issue", "client", "x", "--roles", "viewer", "--days", "0"], 1, "days"),
        (["revoke", "nobody"], 7, "sfca list"),
        (["renew", "nobody"], 7, "sfca list"),
        (["show", "nobody"], 7, "never given"),
        (["sign", "no-such.sf", "--key", "no-such.key"], 3, "no-such.sf"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(folder, words, code, said):
    done = sfca(*words, folder=folder, code=code)
    assert said in done.stderr


def test_a_name_has_one_certificate_at_a_time(folder):
    sfca("issue", "client", "ann", "--roles", "viewer", folder=folder)
    done = sfca("issue", "client", "ann", "--roles", "admin", folder=folder, code=8)
    assert "sfca renew ann" in done.stderr


def test_without_an_authority_there_is_a_hint(tmp_path):
    assert "sfca init" in sfca("list", folder=tmp_path / "none", code=7).stderr


# -- the community of one machine


def test_many_first_starts_at_once_make_one_community(tmp_path):
    folder = tmp_path / "community"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda port: for_daemon(folder, port), [3800, 3801, 3802] * 4))

    assert {each.ca.read_bytes() for each in made} == {(folder / "ca.pem").read_bytes()}
    for files in made:
        assert Contexts(files).own.hosts[:2] == ("127.0.0.1", "::1")
    user = Contexts(Credentials.of(*(str(folder / name) for name in (
        "client-user.pem", "client-user.key", "ca.pem"))))  # fmt: skip
    assert [role.value for role in user.own.roles] == ["admin"]


def test_a_second_start_loads_no_cryptography(tmp_path):
    folder = tmp_path / "community"
    for_daemon(folder, 3800)
    code = f"""
import sys
from pathlib import Path
from engine.security.community import for_daemon, of_user
from engine.security.contexts import Contexts
import engine.daemon, engine.commands.sfping
Contexts(for_daemon(Path({str(folder)!r}), 3800))
of_user({{"SMARTDOMAINS_COMMUNITY_DIR": {str(folder)!r}}})
print([name for name in sys.modules if name.startswith("cryptography")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_certificates_of_a_machine_are_renewed_before_they_expire(tmp_path, monkeypatch):
    folder = tmp_path / "community"
    before = read_certificate(for_daemon(folder, 3800).cert)
    now = time.time()
    assert read_certificate(for_daemon(folder, 3800).cert) == before

    monkeypatch.setattr(time, "time", lambda: now + 340 * 86400)
    after = read_certificate(for_daemon(folder, 3800).cert)
    assert after.serial != before.serial
    assert after.hosts == before.hosts


def test_another_loopback_address_gets_into_the_certificate(tmp_path):
    for_daemon(tmp_path, 3800)
    assert "127.0.0.9" in read_certificate(for_daemon(tmp_path, 3800, "127.0.0.9").cert).hosts
