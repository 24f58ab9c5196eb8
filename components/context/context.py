"""`Context`: what machines learn at boot beyond their own names and addresses."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from typing_extensions import override

from components.context.choosing import not_carried
from components.context.host_keys import CHOICES, check_pair, read_key
from components.context.kinds import (
    CONFIDING,
    HIDEABLE,
    addresses_kind,
    domains_kind,
    files_kind,
    hideable_kind,
    instance_kind,
    interface_kind,
    mounts_kind,
    people_kind,
    prefix_kind,
)
from components.context.nocloud import check_user_data
from components.context.told import MODES, Wishes, check_lines
from components.reporting import Reporting
from engine.core.faults import BadDescription, EngineError, Refused
from engine.core.secrecy import TAG
from engine.runtime.attributes import attr, exposed
from engine.runtime.kinds import (
    BadValueError,
    bool_,
    duration_s,
    int_,
    str_,
    strings,
)
from engine.wire.messages import Handle
from sfdl.values import Value, Vector

LOCAL = 0x02
"""Bit of the first octet that says an address was given by hand."""


class Outline(Struct, frozen=True):
    """What of a `Context` counts before anything is made.

    Attributes:
        given: Names of the attributes the description gives.
        command_s: Seconds a command may take in the guest, where its agent runs it.
        apply_now: What changes of it is to reach guests at once.
    """

    mode: str = "auto"
    mac_prefix: str = "52:54"
    given: tuple[str, ...] = ()
    command_s: float = 600.0
    apply_now: bool = False


class User:
    """What is asked of a machine that is told what a context says."""

    async def check_context(self, outline: Outline) -> None:
        """Refuse what the context is to be."""

    async def hears_of_context(self, now: bool) -> str:  # noqa: FBT001 - called from afar
        """Say when a change reaches the guest."""
        raise NotImplementedError

    async def hear_context(self) -> None:
        """Take in that it has changed."""


class Context(Reporting, type="context"):
    """What machines learn at boot, and the way they learn it; several may refer to one.

    Host name, address, netmask and gateway are those of the machine itself.
    """

    mode = attr(str_, "auto", choices=MODES, doc="How the guest is told.")
    mac_prefix = attr(
        prefix_kind, "52:54", doc="First two octets of the MAC address in mode mac.",
        called="macPrefix",
    )  # fmt: skip
    interface = attr(
        interface_kind, "eth0", doc="First interface, where it is not found by its MAC address."
    )
    nameservers = attr(addresses_kind, (), doc="Addresses of name servers.")
    search_domains = attr(
        domains_kind, (), doc="Domains that short names are looked up in.", called="searchDomains"
    )
    mtu = attr(int_, 0, ge=0, le=65535, doc="MTU of the first interface; 0 for the guest's own.")
    ssh_keys = attr(
        strings, (), doc="Public keys of the default user, or of root.", called="sshKeys"
    )
    users = attr(
        people_kind, (),
        doc="Accounts, each a component of name, keys, groups, sudo, shell and passwordHash.",
    )  # fmt: skip
    user_data = attr(
        str_, "", doc="For cloud-init, merged with ours by key; text, or @ and a path on the host.",
        called="userData",
    )  # fmt: skip
    vendor_data = attr(str_, "", doc="For cloud-init: text, or @ and a path.", called="vendorData")
    files = attr(files_kind, (), doc="Files, each a component of path, content and mode.")
    packages = attr(strings, (), doc="Packages to install at first boot.")
    run_commands = attr(
        strings, (), doc="Shell commands to run at first boot.", called="runCommands"
    )
    mounts = attr(mounts_kind, (), doc="Lists of fields, as in fstab.")
    host_keys = attr(
        str_, "perVm", choices=CHOICES, called="hostKeys",
        doc="SSH host keys: new ones at first boot, the one of hostKey, or those of the image.",
    )  # fmt: skip
    host_key = attr(
        str_, "", called="hostKey", tags=frozenset({TAG}),
        doc='Private key of OpenSSH, for hostKeys "fixed": text, or @ and a path on the host.',
    )  # fmt: skip
    instance_id = attr(
        instance_kind, "", called="instanceId",
        doc="What the guest takes for its instance: what is done once is done anew where it differs; "
        "if empty, it is named after all the guest is told, so that any change counts.",
    )  # fmt: skip
    secret = attr(
        hideable_kind, CONFIDING,
        doc="Attributes of this component that nobody is shown, as if they were tagged secret.",
    )  # fmt: skip

    command_timeout = attr(
        duration_s, 600, ge=1, le=86400, called="commandTimeout",
        doc="Seconds each of runCommands, and installing packages, may take in mode agent.",
    )  # fmt: skip
    apply_now = attr(
        bool_, False, called="applyNow",
        doc="Have what an update changes reach guests at once, by a power cycle of each; else at their "
        "next one.",
    )  # fmt: skip

    _OWN = ("mode", "commandTimeout", "applyNow", "secret")

    def __init__(self) -> None:
        """Be used by nobody yet."""
        super().__init__()
        self._users: dict[str, Handle] = {}
        self._news = False

    @override
    def confidential(self) -> Collection[str]:
        return HIDEABLE if "secret" in self.live.lazy_names else self.secret

    @exposed()
    async def outline(self, user: Handle | None = None) -> Outline:
        """Return what counts before anything is made.

        Args:
            user: A machine that is to hear of changes.

        Raises:
            NotBound: `mode` or `macPrefix` is LAZY.
        """
        if user is not None:
            self._users[user.name] = user
        given = self._given(self.live.value)
        return Outline(self.mode, self.mac_prefix, given, self.command_timeout, self.apply_now)

    def _given(self, value_of: Callable[[str], Value]) -> tuple[str, ...]:
        """Return the attributes that are given, and not as they are anyway."""
        given = []
        for name, declared in type(self).declarations.attrs.items():
            value = value_of(name)
            usual = declared.default
            plain = Vector(usual) if isinstance(usual, tuple) else usual
            if name not in self._OWN and value is not None and value != plain:
                given.append(name)
        return tuple(given)

    @exposed()
    async def wishes(self) -> Wishes:
        """Return everything.

        Raises:
            NotBound: A value is LAZY and not known yet.
            BadDescription: A text has line breaks where there may be none.
            Refused: A file that holds what guests are told cannot be read.
        """
        wishes = Wishes(
            interface=self.interface, nameservers=self.nameservers,
            search_domains=self.search_domains, mtu=self.mtu, ssh_keys=self.ssh_keys,
            users=self.users, user_data=await self._data(self.user_data),
            vendor_data=await self._data(self.vendor_data), files=self.files,
            packages=self.packages, run_commands=self.run_commands, mounts=self.mounts,
            host_keys=self.host_keys, instance=self.instance_id,
        )  # fmt: skip
        try:
            check_pair(self.host_keys, self.host_key)
            key = await self._data(self.host_key)
            check_lines(wishes)
            return replace(wishes, host_key=read_key(key)) if self.host_key else wishes
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-ATTR-001", where=self.path) from error

    # -- changes

    @override
    async def check_update(self, new: Mapping[str, Value]) -> bool:
        bound: dict[str, object] = {}
        lazy = type(self).declarations.bind(new, bound, where=self.path)
        if set(lazy) & {"mode", "macPrefix", "applyNow"}:
            return True  # what they will be is known once it has been changed
        mode = str(bound["mode"])
        outline = Outline(
            mode, str(bound["macPrefix"]), self._given(new.get), apply_now=bool(bound["applyNow"])
        )
        lost = not_carried(mode, outline.given)
        if lost:
            raise BadDescription(
                f"context mode {mode} cannot tell {', '.join(lost)}", code="SF-CTX-001",
                where=self.path, hint="mode nocloud tells everything",
            )  # fmt: skip
        said = {name: str(bound[name]) for name in ("userData", "hostKey") if name not in lazy}
        try:
            if "hostKey" in said and "hostKeys" not in lazy:
                check_pair(str(bound["hostKeys"]), said["hostKey"])
            data = {name: await self._data(text) for name, text in said.items()}
            check_user_data(data.get("userData", ""))
            if said.get("hostKey"):
                read_key(data["hostKey"])
        except BadValueError as error:
            raise BadDescription(str(error), code="SF-CTX-001", where=self.path) from error
        for user in await self._asked():
            await self.call(user, User, "check_context", outline)
        return True

    @override
    async def explain_update(self, new: Mapping[str, Value]) -> Mapping[str, str]:
        now = new.get("applyNow") is True
        said = [
            await self.call(user, User, "hears_of_context", now) for user in await self._asked()
        ]
        how = " or ".join(sorted({str(each) for each in said})) or "at once"
        return dict.fromkeys(type(self).declarations.attrs, how) | {"applyNow": "at once"}

    @override
    async def on_update(self, old: Mapping[str, object], new: Mapping[str, object]) -> None:
        """Take them; machines are told of it once all of the tree has been changed."""
        self._news = True

    @override
    async def on_update_started(self) -> None:
        news, self._news = self._news, False
        for user in await self._asked() if news else ():
            await self.call(user, User, "hear_context")

    async def _asked(self) -> list[Handle]:
        """Return the machines that use it, without those that have ended."""
        calls = self.live.process.calls
        for name, user in list(self._users.items()):
            try:
                over = await calls.is_over(user)
            except EngineError:
                over = False  # it cannot be asked, and will be
            if over:
                del self._users[name]
        return list(self._users.values())

    async def _data(self, text: str) -> str:
        if not text.startswith("@"):
            return text
        path = Path(text[1:]).expanduser()
        try:
            return await self.run_blocking(path.read_text)
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(
                f"what guests are told cannot be read from {path}: {error}", code="SF-CTX-003",
                where=self.path, hint="the path is one on the host of the Context",
            ) from error  # fmt: skip


def is_local(prefix: str) -> bool:
    """Say whether MAC addresses of that prefix are in the range given by hand.

    Example:
        >>> is_local("52:54"), is_local("54:56")
        (True, False)
    """
    return bool(int(prefix[:2], 16) & LOCAL)
