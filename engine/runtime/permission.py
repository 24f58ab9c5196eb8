"""What a message asks for, in the words of the table of rights, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from engine.core.events import Ident
from engine.core.faults import NotAllowed
from engine.runtime.channels import Channels
from engine.runtime.walking import names_of
from engine.security.identity import Caller
from engine.security.rights import check, check_method
from engine.wire.messages import (
    Call,
    Cancel,
    CloseChannel,
    Create,
    Detach,
    FeedChannel,
    Graft,
    OpenChannel,
    PullChannel,
    PullPiece,
    ReadPlan,
    ReadUpdate,
    Set,
    Terminate,
    Update,
)

if TYPE_CHECKING:
    from engine.runtime.process import Process


def action_of(verb: str, message: Struct) -> str:
    """Return the key of the table of rights for a message.

    Example:
        >>> from engine.wire.messages import Ping, Pull
        >>> action_of("submit", Ping("pool")), action_of("stream", Pull())
        ('submit ping', 'stream')
    """
    tag = message.__struct_config__.tag
    part = ""
    match message:
        case Create(parent=parent) if parent is not None:
            part = " part"
        case Terminate(segment=segment, quietly=quietly) if segment or quietly:
            part = " part"
        case PullPiece():
            part = " piece"
        case OpenChannel() | PullChannel() | FeedChannel() | CloseChannel():
            part = " channel"
        case _:
            pass
    return f"{verb} {tag}{part}" if verb in {"submit", "read"} else f"{verb}{part}"


def permit(process: Process, caller: Caller, verb: str, message: Struct) -> None:
    """Let a message pass if its caller may send it.

    Raises:
        NotAllowed: It may not.
    """
    action = action_of(verb, message)
    check(caller, action, _application(process, message) if caller.names else None)
    match message:
        case Create(application=application, path=path, name=name, parent=None) if (
            not application == path == name
        ):
            raise NotAllowed(f"{path!r} is not the root of an application", code="SF-SEC-003")
        case Call(target, method):
            live = process.lives.get(target.component)
            methods = type(live.prim).declarations.methods if live is not None else {}
            if method in methods:
                check_method(caller, method, methods[method])
        case _:
            pass


def _application(process: Process, message: Struct) -> str | None:
    """Return the application a message is about, as far as it is known here."""
    match message:
        case Create(application=name) | ReadPlan(name=name):
            return name
        case Cancel(request):
            op = process.operations.under_way(request)
            if isinstance(op, Graft):
                return _application(process, op)
            return op.application if isinstance(op, Create) else None
        case PullChannel(channel) | FeedChannel(channel) | CloseChannel(channel):
            return process.services.get(Channels).application(channel)
        case (
            Terminate(ident=None, ref=ref) | Set(ident=None, ref=ref) | Detach(ident=None, ref=ref)
            | OpenChannel(ident=None, ref=ref)
            | Update(ref=ref) | ReadUpdate(segment="", ref=ref) | Graft(ident=None, ref=ref)
        ):  # fmt: skip
            names = names_of(ref)
            return names[0] if names else None
        case (
            Terminate(ident=Ident() as ident) | Set(ident=Ident() as ident)
            | Detach(ident=Ident() as ident) | Call(target=ident) | Graft(ident=Ident() as ident)
            | OpenChannel(ident=Ident() as ident)
        ):  # fmt: skip
            live = process.lives.get(ident.component)
            return live.segment.application if live is not None else None
        case _:
            return None
