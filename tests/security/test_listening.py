"""Where a daemon listens follows from its certificate."""

from __future__ import annotations

import os

import pytest

from engine.core.faults import NotAllowed, Refused
from engine.listening import place_of
from engine.security.community import credentials
from engine.settings import Settings, load


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("SMARTDOMAINS_COMMUNITY_DIR", str(tmp_path / "community"))
    return tmp_path / "community"


def configured(community, **more):
    files = community.files("one")
    return Settings(cert=str(files.cert), key=str(files.key), ca=str(files.ca), **more)


def test_without_a_certificate_it_is_loopback_with_one_of_this_machine(machine):
    place = place_of(Settings(port=3807))

    assert place.hosts == ("127.0.0.1",)
    assert place.address == "127.0.0.1:3807"
    assert place.contexts.own.name == "local-3807"
    assert place.contexts.files == credentials(machine, "daemon-local-3807")
    assert "loopback only" in place.facts()["security"]


def test_with_a_certificate_it_is_everywhere_under_the_first_name_it_has(community):
    place = place_of(configured(community))

    assert place.hosts in {("::",), ("0.0.0.0",)}
    assert place.address == "127.0.0.1:3800"
    assert place_of(configured(community, advertise="::1")).address == "[::1]:3800"
    bound = place_of(configured(community, bind="127.0.0.1, 127.0.0.2"))
    assert bound.hosts == ("127.0.0.1", "127.0.0.2")
    assert "one, for 127.0.0.1, localhost, until" in bound.facts()["certificate"]


@pytest.mark.parametrize("bind", ["0.0.0.0", "::", "127.0.0.1,10.0.0.7"])
def test_elsewhere_without_a_certificate_is_refused_unless_insecure(machine, bind):
    with pytest.raises(NotAllowed, match="not loopback"):
        place_of(Settings(bind=bind))
    place = place_of(Settings(bind=bind, insecure=True))
    assert place.contexts is None
    assert not machine.exists()


def test_half_of_a_certificate_is_refused(community):
    with pytest.raises(NotAllowed, match="--key and --ca missing"):
        place_of(Settings(cert=str(community.files("one").cert)))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_community_that_cannot_be_made_is_a_message(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Refused, match="cannot be made"):
        place_of(Settings(community_dir=str(tmp_path / "x")))


def test_settings_of_a_file_may_be_written_either_way(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text('requireSignedDescriptions = true\ndescription_keys = ["ed25519:x"]\n')
    settings = load(file, environment={"SMARTDOMAINS_PEERS": "a=h:1,b=h:2"})

    assert settings.require_signed_descriptions
    assert settings.description_keys == ("ed25519:x",)
    assert settings.peers == {"a": "h:1", "b": "h:2"}
