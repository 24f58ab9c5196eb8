"""Secrets: seen by the component that holds a reference, by nobody else, and in no file."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from engine.core.faults import EngineError, Refused
from engine.core.records import Record
from engine.security.vault import MARK, Vault
from engine.testing.daemons import daemons

pytestmark = [pytest.mark.timeout(120)]
BIN = Path(sys.executable).parent
SECRET = "correct-horse-battery"
TEXT = """
#include "org/smartfrog/components.sf"
Maker extends Prim { sfClass "engine.testing.components.FileMaker"; }
sfConfig extends Compound {
    [secret] password "SECRET";
    copy LAZY password;
    box extends DATA { [secret] pin "SECRET"; open 1; }
    inside LAZY box:pin;
    near extends Maker { file "FOLDER/near"; [secret] text LAZY PARENT:password; }
    far extends Compound {
        sfProcessHost "two";
        [secret] own "SECRET";
        copy LAZY PARENT:password;
        b extends Maker { file "FOLDER/far"; text LAZY ATTRIB password; }
    }
}
"""


def run(*words, code=0, **environment):
    done = subprocess.run(
        [str(BIN / words[0]), *map(str, words[1:])], capture_output=True, text=True, check=False,
        timeout=60, env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def description(tmp_path):
    file = tmp_path / "app.sf"
    file.write_text(TEXT.replace("FOLDER", str(tmp_path)).replace("SECRET", SECRET))
    return file


@pytest.mark.integration
def test_components_get_secrets_and_nothing_shows_or_keeps_them(tmp_path, description):
    with daemons(tmp_path / "state", "one", "two") as (one, two):
        run("sfstart", "localhost", "app", description, "-p", one.port)
        assert (tmp_path / "near").read_text().endswith(SECRET)  # its own file, as it was told
        assert (tmp_path / "far").read_text().endswith(SECRET)  # in the other daemon, over TLS
        shown = [
            run("sfdump", "localhost", "app", "-p", one.port),
            run("sfdump", "localhost", "app", "--resolved", "-p", one.port),
            run("sfdump", "localhost", "app:far", "--resolved", "-p", one.port),
            *(run("sflist", "localhost", ref, "-p", one.port)
              for ref in ("app", "app:near", "app:far", "app:far:b")),
            run("sfstatus", "localhost", "app", "-p", one.port),
            *(run("sfevents", "localhost", "--json", "-p", each.port) for each in (one, two)),
            *(run("sfdiag", "localhost", "-p", each.port) for each in (one, two)),
        ]  # fmt: skip
        assert not [text for text in shown if SECRET in text]
        assert shown[1].count("(secret)") >= 4
        files = [one.kill() or one, two.kill() or two]
        for each in files:
            for file in each.folder.glob(f"port-{each.port}/*"):
                if file.is_file():
                    assert SECRET.encode() not in file.read_bytes(), file
            key = each.folder / f"port-{each.port}" / "secrets.key"
            assert stat.S_IMODE(key.stat().st_mode) == 0o600
            assert SECRET not in each.log.read_text()
        one.start()
        two.start()
        rows = {row.path: row.state for row in one.client().whole_tree("app")}
        assert set(rows.values()) == {"started"}, rows
        assert "(secret)" in run("sfdump", "localhost", "app", "-p", one.port)
        one.client().terminate("app", Record.normal()).result()


@pytest.mark.integration
def test_a_value_that_does_not_fit_is_not_shown_if_it_is_secret(tmp_path):
    file = tmp_path / "bad.sf"
    file.write_text(
        '#include "org/smartfrog/components.sf"\nsfConfig extends Compound { s extends Prim {'
        f' sfClass "engine.testing.components.Sleeper"; [secret] endsAfter "{SECRET}"; }} }}'
    )
    with daemons(tmp_path / "state", "one") as (one,):
        said = run("sfstart", "localhost", "app", file, "-p", one.port, code=3)
        assert "endsAfter" in said
        assert "does not fit" in said
        assert SECRET not in said + run("sfevents", "localhost", "--json", "-p", one.port)


@pytest.mark.integration
def test_without_tls_secrets_do_not_leave_their_process(tmp_path, description):
    text = description.read_text().replace(f'[secret] own "{SECRET}";', "")
    description.write_text(text)
    with daemons(tmp_path / "state", "one", "two", SMARTDOMAINS_INSECURE="1") as (one, _):
        said = run("sfstart", "localhost", "app", description, "-p", one.port, "--insecure", code=1)
        assert "without TLS" in said
        assert not (tmp_path / "far").exists()
        description.write_text(text.replace("copy LAZY PARENT:password;", '[secret] p "x";')
                               .replace("text LAZY ATTRIB password;", ""))  # fmt: skip
        said = run("sfstart", "localhost", "app", description, "-p", one.port, "--insecure", code=5)
        assert "do not pass them on" in said


def test_a_vault_used_by_many_threads_at_first_has_one_key(tmp_path):
    vault = Vault(tmp_path / "secrets.key")
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(vault.seal, [b"data"] * 64))
    again = Vault(tmp_path / "secrets.key")
    assert {again.open(each) for each in sealed} == {b"data"}


def test_a_vault_opens_what_it_sealed_and_nothing_else(tmp_path):
    vault = Vault(tmp_path / "secrets.key")
    sealed = vault.seal(b"data")

    assert sealed.startswith(MARK)
    assert b"data" not in sealed
    assert sealed != vault.seal(b"data")
    assert Vault(tmp_path / "secrets.key").open(sealed) == b"data"
    assert vault.open(b"plain") == b"plain"
    with pytest.raises(Refused, match="another key"):
        Vault(tmp_path / "other.key").open(sealed)
    with pytest.raises(Refused):
        vault.open(sealed[:-1] + bytes([sealed[-1] ^ 1]))
    (tmp_path / "secrets.key").chmod(0o644)
    with pytest.raises(EngineError, match="read by others"):
        Vault(tmp_path / "secrets.key").open(sealed)


@pytest.mark.integration
def test_a_daemon_that_demands_signatures_takes_signed_descriptions_only(tmp_path, description):
    description.write_text(
        description.read_text().replace('[secret] password "', 'password "').replace("[secret]", "")
    )
    key, other = tmp_path / "sign.key", tmp_path / "other.key"
    public = run("sfca", "keygen", key).strip()
    run("sfca", "keygen", other)
    config = {
        "SMARTDOMAINS_REQUIRE_SIGNED_DESCRIPTIONS": "true",
        "SMARTDOMAINS_DESCRIPTION_KEYS": public,
    }
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    signature = tmp_path / "app.sf.sig"
    with daemons(tmp_path / "state", "one", "two", **config) as (one, _two):
        start = ("sfstart", "localhost", "app", description, "-p", one.port)
        assert "signed descriptions only" in run(*start, code=5)
        run("sfca", "sign", description, "--key", other)
        assert "no key that is believed" in run(*start, "--signature", signature, code=5)
        run("sfca", "sign", description, "--key", key)
        assert "another description" in run(
            *start, "--set", "box:open=2", "--signature", signature, code=5
        )
        run(*start, "--signature", signature)  # parts on the other daemon, which asks as well
        assert (tmp_path / "far").exists()
        one.kill()
        one.start()
        run("sfterminate", "localhost", "app", "-p", one.port)
        assert not (tmp_path / "far").exists()
