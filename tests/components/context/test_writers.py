"""What is written for guests: formats, hostile values, and writing twice."""

from __future__ import annotations

import email
import subprocess

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from components.context import nocloud, script, systems
from components.context.choosing import CARRIES, chosen, not_carried
from components.context.context import Context
from components.context.effects import MOST_BYTES, check_size, iso_of
from components.context.told import GuestFile, Person, Told, Wishes, content_id, instance_id
from engine.core.faults import BadDescription
from engine.runtime.kinds import BadValueError

WISHES = Wishes(
    nameservers=("10.0.0.53",), search_domains=("lab.example",), mtu=1400,
    ssh_keys=("ssh-ed25519 AAAA me",), files=(GuestFile("/etc/motd", "hello\n", "0600"),),
    mounts=(("/dev/vdb", "/data"),),
)  # fmt: skip
TOLD = Told(
    uuid="6ba7b810-9dad-41d1-80b4-00c04fd430c8", hostname="web.lab.example", mac="52:54:0a:00:00:05",
    ip="10.0.0.5", netmask="255.255.255.0", gateway="10.0.0.1", ready_marker="SD-READY", wishes=WISHES,
)  # fmt: skip
BARE = Told(uuid="u", hostname="web", mac="52:54:00:00:00:05")


def config(text):
    first, _, rest = text.partition("\n")
    assert first == "#cloud-config"
    return yaml.safe_load(rest)


def test_a_nocloud_disk_has_both_files_it_must_have_and_a_static_network_by_mac():
    files = nocloud.files_of(TOLD)

    assert yaml.safe_load(files["meta-data"]) == {
        "instance-id": instance_id(TOLD), "local-hostname": "web.lab.example",
    }  # fmt: skip
    assert yaml.safe_load(files["network-config"]) == {
        "version": 2,
        "ethernets": {"eth0": {
            "match": {"macaddress": "52:54:0a:00:00:05"}, "addresses": ["10.0.0.5/24"],
            "routes": [{"to": "0.0.0.0/0", "via": "10.0.0.1"}],
            "nameservers": {"addresses": ["10.0.0.53"], "search": ["lab.example"]}, "mtu": 1400,
        }},
    }  # fmt: skip
    assert config(files["user-data"].decode())["final_message"] == "SD-READY"
    assert set(nocloud.files_of(BARE)) == {"meta-data", "user-data"}


def test_a_mac_address_of_digits_only_stays_text():
    told = replace(TOLD, mac="52:54:10:20:30:40")
    text = nocloud.files_of(told)["network-config"]
    assert yaml.safe_load(text)["ethernets"]["eth0"]["match"]["macaddress"] == "52:54:10:20:30:40"


def test_user_data_of_ones_own_is_merged_by_key_and_anything_else_goes_along():
    own = "#cloud-config\nruncmd: [b]\nfinal_message: mine\n"
    merged = config(
        nocloud.user_data(replace(TOLD, wishes=replace(WISHES, run_commands=("a",), user_data=own)))
    )
    assert (merged["runcmd"], merged["final_message"]) == (["a", "b"], "mine")

    both = email.message_from_string(
        nocloud.user_data(replace(TOLD, wishes=replace(WISHES, user_data="#!/bin/sh\necho hi\n")))
    )
    assert [part.get_content_type() for part in both.walk()][1:] == [
        "text/cloud-config", "text/x-shellscript",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["#cloud-config\n- a\n", "#cloud-config\na: [\n"])
def test_user_data_that_is_no_mapping_is_refused(text):
    with pytest.raises(BadValueError, match="userData says #cloud-config and is no"):
        nocloud.files_of(replace(TOLD, wishes=replace(WISHES, user_data=text)))


def test_accounts_have_no_password_unless_one_is_given():
    people = (Person("ann", keys=("k",), sudo="ALL"), Person("bob", password_hash="$6$x"))
    users = nocloud.cloud_config(replace(TOLD, wishes=replace(WISHES, users=people)))["users"]
    assert users[0] == "default"
    assert [(user["name"], user["lock_passwd"]) for user in users[1:]] == [
        ("ann", True),
        ("bob", False),
    ]


def test_another_input_is_another_instance_and_the_same_is_the_same():
    assert instance_id(TOLD) == instance_id(replace(TOLD))
    for change in ({"hostname": "x"}, {"ip": "10.0.0.6"}, {"wishes": replace(WISHES, mtu=1401)}):
        assert instance_id(replace(TOLD, **change)) != instance_id(TOLD)


def test_an_instance_that_is_given_stays_whatever_the_guest_is_told():
    given = replace(TOLD, wishes=replace(WISHES, instance="golden-1"))

    assert yaml.safe_load(nocloud.files_of(given)["meta-data"])["instance-id"] == "golden-1"
    assert "INSTANCE_ID='golden-1'" in script.variables(given)
    assert instance_id(replace(given, hostname="x")) == "golden-1"
    assert content_id(replace(given, hostname="x")) != content_id(given) != content_id(TOLD)


@pytest.mark.parametrize("text", ["a: [hunter2", "a: *hunter2", "a: b: hunter2", "a: @hunter2"])
def test_data_that_is_no_yaml_is_told_by_its_place_and_not_repeated(text):
    with pytest.raises(BadValueError, match="see line 2, column") as failure:
        nocloud.check_user_data(f"#cloud-config\n{text}")

    assert "hunter2" not in str(failure.value)
    assert failure.value.__cause__ is None


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=60))
def test_no_value_is_read_as_shell(text):
    told = replace(TOLD, wishes=replace(WISHES, run_commands=(text,)))
    reader = script.variables(told) + 'printf "%s" "$RUN"\n'
    done = subprocess.run(["sh", "-eu"], input=reader.encode(), capture_output=True, check=True)
    assert done.stdout.decode() == text


def test_the_disk_holds_the_files_under_their_names():
    import io

    import pycdlib

    files = script.files_of(TOLD)
    iso = pycdlib.PyCdlib()
    iso.open_fp(io.BytesIO(iso_of("cidata", files)))
    assert iso.pvd.volume_identifier.decode().strip() == "cidata"
    for name, data in files.items():
        out = io.BytesIO()
        iso.get_file_from_iso_fp(out, rr_path=f"/{name}")
        assert out.getvalue() == data
    assert set(files) == {"context", "post-install", "file-0"}
    iso.close()


def test_too_much_for_a_disk_is_refused_with_numbers():
    with pytest.raises(BadDescription, match=rf"{MOST_BYTES + 1} bytes, {MOST_BYTES} fit"):
        check_size({"a": b"x" * (MOST_BYTES + 1)}, where="vm")


@pytest.mark.parametrize("name", ["sd-context", "sd-apply", "post-install"])
def test_the_scripts_of_the_guest_are_good_shell(name):
    text = script.guest_script(name).encode()
    for shell in (["sh", "-n"], ["bash", "-n"], ["busybox", "sh", "-n"]):
        subprocess.run(shell, input=text, check=True)


# -- files of systems


def seen(*paths, **texts):
    kinds = dict.fromkeys(("/etc", *paths), "directory")
    return systems.Seen(kinds, {f"/{name.replace('_', '/')}": text for name, text in texts.items()})


STYLES = {
    "netplan": ("/etc/netplan",),
    "networkmanager": (f"{systems._WANTS}/NetworkManager.service",),
    "networkd": (f"{systems._WANTS}/systemd-networkd.service",),
    "ifcfg": ("/etc/sysconfig/network-scripts",),
    "ifupdown": ("/etc/network/interfaces",),
    "": (),
}


@pytest.mark.parametrize("style", STYLES)
def test_only_the_network_files_a_system_uses_are_written(style):
    found = seen(*STYLES[style])
    assert systems.uses(found) == style
    paths = {file.path for file in systems.files_for(TOLD, found)}
    network = {path for path in paths if "network" in path.lower() or "netplan" in path}
    assert len(network) == (1 if style else 0)
    texts = "".join(file.content for file in systems.files_for(TOLD, found) if file.path in network)
    assert not style or ("10.0.0.5" in texts and "10.0.0.1" in texts)


INTERFACES = """source /etc/network/interfaces.d/*
auto lo eth0
iface lo inet loopback
allow-hotplug eth0
iface eth0 inet static
    address 1.2.3.4
iface eth1 inet dhcp
    mtu 9000
"""


def test_of_ifupdowns_file_only_our_interface_changes_and_twice_is_once():
    once = systems.interfaces(INTERFACES, TOLD)
    assert systems.interfaces(once, TOLD) == once
    assert "1.2.3.4" not in once
    assert "auto lo\n" in once
    assert "iface eth1 inet dhcp\n    mtu 9000\n" in once
    assert "iface eth0 inet static\n    address 10.0.0.5\n    netmask 255.255.255.0\n" in once
    assert once.count("eth0") == 2


def test_other_lines_of_hosts_and_fstab_stay_and_ours_are_replaced():
    found = seen(etc_hosts="127.0.0.1 localhost", etc_fstab="LABEL=root / ext4 defaults 0 1\n")
    first = {file.path: file.content for file in systems.files_for(TOLD, found)}
    again = seen(etc_hosts=first["/etc/hosts"], etc_fstab=first["/etc/fstab"])
    moved = replace(TOLD, ip="10.0.0.6")
    second = {file.path: file.content for file in systems.files_for(moved, again)}
    assert second["/etc/hosts"] == (
        "127.0.0.1 localhost\n# begin smartdomains\n10.0.0.6 web.lab.example web\n# end smartdomains\n"
    )
    assert second["/etc/fstab"] == first["/etc/fstab"]
    assert "/dev/vdb /data auto defaults,nofail 0 2\n" in first["/etc/fstab"]


def test_a_resolver_that_is_a_link_is_left_alone():
    found = systems.Seen({"/etc": "directory", "/etc/resolv.conf": "symlink"}, {})
    assert "/etc/resolv.conf" not in {file.path for file in systems.files_for(TOLD, found)}


def test_every_attribute_of_a_context_reaches_some_guest_or_says_how():
    declared = set(Context.declarations.attrs) - set(Context._OWN)
    assert set().union(*CARRIES.values()) | {"interface"} == declared
    assert not_carried("auto", declared) == []


def test_the_choice_follows_the_image():
    assert chosen(kind="tar", holds=("cloud-init", "etc"), ip="10.0.0.5") == "nocloud"
    assert chosen(kind="directory", holds=("etc",), ip="10.0.0.5") == "inject"
    assert chosen(kind="directory", holds=(), ip="10.0.0.5") == "mac"
