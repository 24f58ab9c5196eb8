"""The last word on a machine's XML: what it may say, what it may not, and what it lets a guest at."""

from __future__ import annotations

import pytest

from components.domains.overriding import escapes, overridden, override, overrides_kind
from components.hypervisor.xmltree import BadSpecError
from engine.runtime.kinds import BadValueError
from sfdl.values import Vector
from tests.components.domains.test_xml import KVM, MACHINE, domain_xml

DOCUMENT = domain_xml(KVM.spec(MACHINE))


def read(*items):
    return overrides_kind.read(Vector(tuple(Vector(item) for item in items)))


@pytest.mark.parametrize(
    ("item", "why"),
    [
        (("devices",), "must be a list of"),
        (("devices", "set"), "set and add take a value"),
        (("devices", "remove", "x"), "remove takes none"),
        (("devices", "move", "x"), "must be set, add, remove"),
        (("devices", "set", 5), "must be a list of"),
        (("devices[", "set", "x"), "devices"),
        (("devices", "add", "<a"), "is no XML element"),
        (("devices", "add", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), "no declarations"),
        (("devices/@a", "add", "<a/>"), "an attribute is set"),
        (("/domain", "remove"), "the domain itself cannot be remove"),
        (("", "set", "x"), "the domain itself cannot be set"),
    ],
)
def test_what_is_no_override_is_refused_with_why(item, why):
    with pytest.raises(BadValueError, match=why.replace("[", r"\[")):
        read(item)


def test_a_list_of_overrides_is_read_in_order():
    first, second = read(("clock/@offset", "set", "localtime"), ("/domain/devices/rng", "remove"))
    assert (first.element, first.attribute, first.value) == ("clock", "offset", "localtime")
    assert (second.element, second.attribute, second.action) == ("devices/rng", "", "remove")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("name", "set", "other"), "name is not to be overridden"),
        (("uuid", "remove", ""), "uuid is not to be overridden"),
        ((".", "add", "<name>b</name>"), "name is not to be overridden"),
        (("metadata", "remove", ""), "the owner in its metadata"),
        ((".", "add", "<metadata/>"), "the owner in its metadata"),
        (("devices/unicorn", "remove", ""), "leads to nothing"),
        (("devices/disk/@unicorn", "remove", ""), "leads to nothing"),
    ],
)
def test_what_would_make_another_machine_or_nothing_at_all_is_refused(change, why):
    with pytest.raises(BadSpecError, match=why):
        overridden(DOCUMENT, (override(*change),))


def test_without_overrides_the_document_is_as_it_was():
    assert overridden(DOCUMENT, ()) == DOCUMENT


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("devices/disk[1]/source/@dev", "set", "/dev/sda"), ("/dev/sda",)),
        (
            ("devices", "add", "<disk type='file'><source file='/etc/shadow'/></disk>"),
            ("/etc/shadow",),
        ),
        (("devices", "add", "<hostdev mode='subsystem'/>"), ("hostdev",)),
        (("devices", "add", "<emulator>/tmp/mine</emulator>"), ("emulator", "/tmp/mine")),
        (("devices/disk/driver/@discard", "set", "unmap"), ()),
    ],
)
def test_what_it_lets_a_guest_at_is_found(change, found):
    assert escapes(DOCUMENT, overridden(DOCUMENT, (override(*change),))) == found
