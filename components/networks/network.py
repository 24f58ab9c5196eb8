"""`Network`: a libvirt network as a component."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import ClassVar, Literal

from typing_extensions import override

from components.hypervisor import names
from components.hypervisor.choice import is_local, uri_for, uri_kind
from components.hypervisor.errors import HypervisorError
from components.hypervisor.owner import holder_of, is_ours, owner_record
from components.hypervisor.pool import HypervisorPool
from components.hypervisor.protocol import DhcpHost, Hypervisor, NetworkFacts
from components.networks import devices, user_networks
from components.networks.addresses import device_kind, hostname_kind, ip_kind, mac_kind, subnet_kind
from components.networks.claims import Claims
from components.networks.effects import ActiveNetwork, DefinedNetwork
from components.networks.forwards import forwards_kind
from components.networks.joined import Joined, Place
from components.networks.xml import BRIDGED, FORWARDS, ISOLATED, NetworkSpec, network_xml
from components.storage.keeping import AS_BEFORE, keep_kind
from engine.core.faults import BadDescription, Refused
from engine.prim import Unwell
from engine.runtime.attributes import attr, output
from engine.runtime.effects import Effect, NameTaken, Owner
from engine.runtime.kinds import BadValueError, Kind, bool_, int_, list_, shown, str_, strings
from engine.wire.messages import Handle
from sfdl.values import Value

LOOK_EVERY_S = 2.0
"""Seconds between two looks whether the network is active."""


def _hosts(value: Value) -> tuple[DhcpHost, ...]:
    found = []
    for row in list_.read(value):
        if not (isinstance(row, tuple) and len(row) in {2, 3}):
            raise BadValueError(
                f"must be a list of [mac, ip] or [mac, ip, name] (got {shown(value)})"
            )
        mac, ip, *rest = row
        name = hostname_kind.read(rest[0]) if rest else ""
        found.append(DhcpHost(mac=mac_kind.read(mac), ip=ip_kind.read(ip), name=name))
    return tuple(found)


hosts_kind = Kind("list of [mac, ip, name]", "Vector", _hosts)


class Network(Joined, type="net.network"):
    """A network of the hypervisor that virtual machines of this host can be on.

    It is defined and started with the component, and removed at its end once no machine is on it. With
    `userNetwork true` nothing is: the emulator of each machine on it makes a network of its own up, from
    which the guest gets out as a program of the host does.
    """

    joined_by: ClassVar[Literal["network", "bridge"]] = "network"

    network_name = attr(
        names.name_kind, "", doc="Name at the hypervisor; from the component's path if empty.",
        called="networkName",
    )  # fmt: skip
    hypervisor_uri = attr(
        uri_kind, "", doc="Hypervisor; found on the host if empty.", called="hypervisorUri"
    )
    forward = attr(
        str_, "nat", choices=FORWARDS,
        doc="Where packets go: isolated keeps them, bridge joins the host's own network.",
    )  # fmt: skip
    bridge = attr(
        device_kind, "",
        doc="Bridge device of the host; chosen by the hypervisor if empty. Forward bridge needs one.",
    )  # fmt: skip
    subnet = attr(
        subnet_kind, "",
        doc="The host's address on it with prefix length, such as 10.30.0.1/24; none if empty.",
    )  # fmt: skip
    dhcp = attr(bool_, True, doc="Hand out addresses of the subnet.")
    range = attr(
        strings, None, doc="First and last address handed out; the whole subnet if not given."
    )
    dhcp_hosts = attr(
        hosts_kind, None, doc="Addresses kept for single machines, a list of [mac, ip, name]. "
        "Machines with an ip have theirs kept without being listed.", called="dhcpHosts",
    )  # fmt: skip
    dns = attr(bool_, True, doc="Answer names of the machines on it.")
    domain = attr(hostname_kind, "", doc="DNS domain of its machines; none if empty.")
    autostart = attr(bool_, False, doc="Let the hypervisor start it with the host.")
    mtu = attr(int_, None, ge=68, le=65535, doc="Largest packet, in bytes.")
    vlan = attr(int_, None, ge=1, le=4094, doc="VLAN tag, for a bridge that knows VLANs.")
    keep_network = attr(
        keep_kind, AS_BEFORE, doc="Whether it stays at the end; statuquo removes what was made here.",
        called="keepNetwork",
    )  # fmt: skip
    user_network = attr(
        bool_, False, called="userNetwork",
        doc="Have QEMU make up a network for each machine on it, where nobody may make networks.",
    )  # fmt: skip
    forwards = attr(
        forwards_kind, (),
        doc="Ports of the host that lead to the guest on a user network, a list of [ADDRESS:]"
        "PORT:GUESTPORT[/udp]; at 127.0.0.1 without an address. Only one machine is on it then.",
    )  # fmt: skip
    uuid = output(str, doc="UUID at the hypervisor, the same at each deployment.")
    device = output(str, doc="Bridge device that the network is made of.")
    active = output(bool, doc="Whether machines can be on it, when it was last looked at.")

    reserved: ClassVar[dict[str, Value]] = {"sfOrphanPolicy": "keep", "sfTerminateTimeout": 300}

    def __init__(self) -> None:
        """Be nowhere yet."""
        super().__init__()
        self._name = ""
        self._uri = ""
        self._trouble = ""

    @override
    def device_name(self) -> str:
        return self._name or self._wanted_name()

    @override
    def place(self) -> Place:
        return Place("user", self.path, self.forwards) if self.user_network else super().place()

    @override
    def check_joining(self, user: Handle) -> None:
        others = sorted(self.users.keys() - {user.name})
        if self.forwards and others:
            raise Refused(
                f"the forwards of {self.path} lead to {others[0]} already", code="SF-NET-012",
                where=user.name, hint="give each machine a user network of its own",
            )  # fmt: skip

    def _wanted_name(self) -> str:
        return self.network_name or names.name_from_path(self.path)

    # -- deploy: check and reserve

    @override
    async def on_deploy(self) -> None:
        user_networks.check_attributes(self)
        self._uri = await uri_for(self, self.hypervisor_uri)
        if self.user_network:
            self._claim_ports()
            user_networks.check_hypervisor(self, self._uri)
            return
        self._check_attributes()
        self._name = self._wanted_name()
        process = self.live.process
        application = self.live.segment.application
        self.uuid = names.uuid_of(process.community, application, self.path, "network")
        self.service(Claims).take(self, "networkName", self._uri, self._name)
        hypervisor = await self._hypervisor()
        mine = await self._check_free(hypervisor)
        if self.forward == BRIDGED:
            if is_local(self._uri):
                await devices.check_bridge(self.bridge, where=self.path)
        elif self.subnet:
            await self._check_overlap(hypervisor, mine)

    def _claim_ports(self) -> None:
        for each in self.forwards:
            self.service(Claims).take(self, "forward", "", each.text)

    def _check_attributes(self) -> None:
        bridged, listed = self.forward == BRIDGED, bool(self.range or self.dhcp_hosts)
        for wrong, text in (
            (bridged and not self.bridge, "forward bridge needs a bridge"),
            (bridged and bool(self.subnet), "forward bridge takes no subnet"),
            (
                not (bridged or self.forward == ISOLATED or self.subnet),
                f"forward {self.forward} needs a subnet, such as 10.30.0.1/24",
            ),
            (listed and not self.subnet, "range and dhcpHosts need a subnet"),
            (listed and not self.dhcp, "range and dhcpHosts need dhcp true"),
        ):
            if wrong:
                raise BadDescription(text, code="SF-NET-006", where=self.path)
        if self.range is not None:
            self._check_range(self.range)

    def _check_range(self, given: tuple[str, ...]) -> None:
        inside = ipaddress.IPv4Interface(self.subnet).network
        try:
            first, last = (ipaddress.IPv4Address(text) for text in given)
        except ValueError as error:
            raise BadDescription(
                f"range must be two addresses, first and last: {error}", code="SF-NET-001",
                where=self.path,
            ) from error  # fmt: skip
        if first not in inside or last not in inside or first > last:
            raise BadDescription(
                f"range {first} to {last} is not within {inside}",
                code="SF-NET-001",
                where=self.path,
            )

    async def _check_free(self, hypervisor: Hypervisor) -> NetworkFacts | None:
        """Return the network if it is there and ours; refuse one that is not."""
        networks = hypervisor.networks
        ours = None
        for facts in (await networks.by_name(self._name), await networks.fact(self.uuid)):
            if facts is None:
                continue
            if not is_ours(facts, self._owner(), exactly=False):
                state = "active" if facts.active else "inactive"
                raise NameTaken(
                    f"a network called {facts.name} exists already ({holder_of(facts)}, "
                    f"UUID {facts.uuid}, {state})",
                    code="SF-NAME-001", where=self.path,
                    hint="choose another networkName, or refer to that one by its name; "
                    "it was not touched",
                )  # fmt: skip
            ours = facts
        return ours

    async def _check_overlap(self, hypervisor: Hypervisor, mine: NetworkFacts | None) -> None:
        """Refuse a subnet that leads somewhere else on this host already."""
        taken = [
            (str(ipaddress.IPv4Interface(one.subnet).network), f"network {one.name}")
            for one in await hypervisor.networks.facts()
            if one.active and one.subnet and one.uuid != self.uuid and "." in one.subnet
        ]
        own = {self.bridge, mine.bridge if mine is not None else ""}
        if is_local(self._uri) and not self._uri.startswith("test:"):
            taken += [(to, name) for to, name in await devices.routes() if name not in own]
        clash = devices.overlap(self.subnet, taken)
        if clash:
            raise Refused(
                f"subnet {self.subnet} overlaps {clash}", code="SF-NET-007", where=self.path,
                hint="choose another subnet",
            )  # fmt: skip

    def _owner(self) -> Owner:
        live = self.live
        return Owner(live.process.community, live.segment.application, live.path, live.incarnation)

    async def _hypervisor(self) -> Hypervisor:
        return await self.service(HypervisorPool).get(self._uri)

    # -- start: make

    @override
    async def on_start(self) -> None:
        if self.user_network:
            self.active = True
            return
        keep = "always" if self.keep_network is True else "never"
        first, last = self.range or ("", "")
        owner = owner_record(self._owner(), self.live.process.daemon_id)
        spec = NetworkSpec(
            name=self._name, uuid=self.uuid, owner=owner, forward=self.forward, bridge=self.bridge,
            subnet=self.subnet, dhcp=self.dhcp, first=first, last=last, hosts=self.dhcp_hosts or (),
            dns=self.dns, domain=self.domain, mtu=self.mtu,
            vlan=self.vlan,
        )  # fmt: skip
        defined = DefinedNetwork(self._uri, self.uuid, self._name, network_xml(spec))
        await self.make(defined, keep=keep)
        active = ActiveNetwork(self._uri, self.uuid, self._name, self.autostart)
        await self.make(active, keep=keep)
        await self._look()
        self.spawn(self._watch())

    @override
    async def on_adopt(self, effects: tuple[Effect, ...]) -> None:
        if self.user_network:
            self._claim_ports()
            return
        for effect in effects:
            if isinstance(effect, DefinedNetwork):
                self._uri, self._name, self.uuid = effect.uri, effect.name, effect.uuid
        self.service(Claims).take(self, "networkName", self._uri, self._name)
        await self._look()
        self.spawn(self._watch())

    # -- while it is there

    async def _watch(self) -> None:
        while True:
            await self.sleep(LOOK_EVERY_S)
            with contextlib.suppress(HypervisorError):  # what cannot be told is not held against it
                await self._look()

    async def _look(self) -> None:
        facts = await (await self._hypervisor()).networks.fact(self.uuid)
        if facts is None:
            self._trouble = f"network {self._name} is not there any more"
        elif not facts.active:
            self._trouble = f"network {self._name} is not active"
        else:
            self._trouble = ""
            self.device = facts.bridge
        self.active = not self._trouble

    @override
    async def check(self) -> None:
        if self._trouble:
            raise Unwell(self._trouble)
