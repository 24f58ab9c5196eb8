"""The host key that guests are given: what is taken, and how each way of telling brings it."""

from __future__ import annotations

import subprocess

import pytest
from msgspec.structs import replace

from components.context import by_agent, nocloud, script, systems
from components.context.by_agent import Applied
from components.context.host_keys import check_pair, read_key
from components.context.told import Told, Wishes, content_id
from components.testbed.ssh_key import new_ssh_key
from engine.runtime.kinds import BadValueError

KEY = read_key(new_ssh_key())
PLACES = {KEY.path: ("0600", KEY.private), f"{KEY.path}.pub": ("0644", f"{KEY.public}\n")}
TOLD = Told(uuid="u", hostname="web", wishes=Wishes(host_keys="fixed", host_key=KEY))


def made(folder, kind, passphrase=""):
    file = folder / kind
    subprocess.run(
        ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "", "-f", file], check=True
    )
    return file.read_text(), file.with_suffix(".pub").read_text().strip()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_the_public_key_is_the_one_that_ssh_made_with_it(tmp_path, kind):
    private, public = made(tmp_path, kind)
    for text in (private, f"# mine\n\n  {private}\n", private.replace("\n", "\r\n  ")):
        key = read_key(text)
        assert (key.kind, key.private, key.public) == (kind, private, public)
        file = tmp_path / "delivered"
        file.write_text(key.private)
        file.chmod(0o600)
        done = subprocess.run(
            ["ssh-keygen", "-y", "-f", file], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == public


def test_what_is_no_usable_key_is_refused_and_not_repeated(tmp_path):
    locked, _ = made(tmp_path, "ed25519", "a passphrase")
    for text in (locked, "battery staple", KEY.public, KEY.private[:200]):
        with pytest.raises(
            BadValueError, match="without a passphrase; make one with: ssh-keygen"
        ) as no:
            read_key(text)
        assert text.splitlines()[-1] not in str(no.value)


@pytest.mark.parametrize(
    ("choice", "key", "words"),
    [
        ("fixed", "", "needs hostKey"),
        ("perVm", "k", 'say hostKeys "fixed"'),
        ("image", "k", "fixed"),
    ],
)
def test_a_key_and_the_choice_of_one_go_together(choice, key, words):
    with pytest.raises(BadValueError, match=words):
        check_pair(choice, key)


def test_cloud_init_has_the_pair_under_its_kind():
    assert nocloud.cloud_config(TOLD)["ssh_keys"] == {
        "ed25519_private": KEY.private, "ed25519_public": KEY.public,
    }  # fmt: skip


def test_a_script_disk_has_it_as_two_files():
    files = script.files_of(TOLD)
    lines = "\n".join(f"{mode} {path}" for path, (mode, _) in PLACES.items())
    assert f"FILES='{lines}'" in files["context"].decode()
    assert [files[f"file-{n}"].decode() for n in range(2)] == [text for _, text in PLACES.values()]


def test_a_system_that_is_off_has_it_as_two_files():
    written = {file.path: file for file in systems.files_for(TOLD, systems.Seen({}, {}))}
    for path, (mode, text) in PLACES.items():
        assert (written[path].mode, written[path].content) == (int(mode, 8), text)


def test_an_agent_writes_it_before_the_server_is_asked_to_read_it():
    names = [step.name for step in by_agent.steps_for(TOLD, Applied())]
    files = [names.index(f"file {path}") for path in PLACES]
    assert max(files) < names.index("host key")


def test_another_key_is_another_instance_and_none_is_named_as_before():
    other = replace(TOLD, wishes=replace(TOLD.wishes, host_key=read_key(new_ssh_key())))
    assert content_id(other) != content_id(TOLD)
    plain = Told(uuid="u", hostname="web")
    assert content_id(plain) == "sd-8cad59bd2283ab82875f3b1f31beb736"
