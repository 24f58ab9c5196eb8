"""Who may do what: the one table.

An action is a verb of the wire, with the tag of its message where there are several, and `part` where
a message means something else between daemons.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from engine.core.faults import NotAllowed
from engine.security.identity import Caller, Role

_PEER = frozenset({Role.PEER})
_ADMIN = frozenset({Role.ADMIN})
_OPERATE = frozenset({Role.OPERATOR, Role.ADMIN})
_VIEW = _OPERATE | {Role.VIEWER}

RIGHTS: Mapping[str, frozenset[Role]] = {
    "hello": _VIEW | _PEER,
    "beat": _PEER,
    "stream": _VIEW | _PEER,
    "stream piece": _PEER,
    "stream channel": _OPERATE | _PEER,
    "read tree": _VIEW | _PEER,
    "read attributes": _VIEW | _PEER,
    "read dump": _VIEW | _PEER,
    "read value": _VIEW | _PEER,
    "read peers": _VIEW,
    "read diagnosis": _VIEW,
    "read checkup": _OPERATE,
    "read census": _PEER,
    "read plan": _OPERATE | _PEER,
    "read plan_update": _OPERATE | _PEER,
    "read resolve": _PEER,
    "read segment": _PEER,
    "submit ping": _VIEW | _PEER,
    "submit set": _OPERATE | _PEER,
    "submit call": _OPERATE | _PEER,
    "submit create": _OPERATE,
    "submit create part": _PEER,
    "submit deploy": _PEER,
    "submit start": _PEER,
    "submit terminate": _OPERATE | _PEER,
    "submit terminate part": _PEER,
    "submit detach": _OPERATE | _PEER,
    "submit graft": _OPERATE | _PEER,
    "submit forget": _PEER,
    "submit rename": _PEER,
    "submit cancel": _OPERATE | _PEER,
    "submit update": _OPERATE | _PEER,
    "submit update_part": _PEER,
    "submit spawn": _PEER,
    "submit set_level": _ADMIN | _PEER,
    "submit drain": _ADMIN,
    "submit stop": _ADMIN,
}
"""The roles of which a caller needs one, by action. What is not here is nobody's right."""

LIMITED = frozenset(
    f"submit {word}"
    for word in ("create", "terminate", "set", "call", "detach", "graft", "update", "cancel")
) | {"read plan", "read plan_update", "stream channel"}
"""Actions that an operator limited to names may do on applications of such names only."""


def check(caller: Caller, action: str, application: str | None = None) -> None:
    """Let a caller's action pass.

    Args:
        caller: Who asks.
        action: Key of `RIGHTS`.
        application: Whose it is; nothing if there is none, or it is not known.

    Raises:
        NotAllowed: The caller has no role for it, or not for that application.

    Example:
        >>> check(Caller("eve", "client", frozenset({Role.VIEWER})), "read tree")
        >>> limited = Caller("web", "client", frozenset({Role.OPERATOR}), ("web-*",))
        >>> check(limited, "submit create", "web-1")
    """
    needed = RIGHTS.get(action, frozenset())
    mine = caller.roles & needed
    if not mine:
        roles = " or ".join(sorted(role.value for role in needed)) or "nobody's"
        held = ", ".join(sorted(role.value for role in caller.roles))
        raise NotAllowed(
            f"{caller.name} ({held}) may not {action.partition(' ')[2] or action}: "
            f"needs the role {roles}",
            code="SF-SEC-003", hint="ask for a certificate with that role, and use it with --cert",
        )  # fmt: skip
    limited = caller.names and not mine & {Role.ADMIN, Role.PEER}
    if limited and action in LIMITED and not allows(caller.names, application):
        raise NotAllowed(
            f"{caller.name} may not {action.partition(' ')[2]} {application or 'this'}: its "
            f"certificate is limited to {', '.join(caller.names)}",
            code="SF-SEC-004", where=application or "",
            hint="ask for a certificate with that name, or choose another name",
        )  # fmt: skip


def check_method(caller: Caller, method: str, role: str) -> None:
    """Let a call of an exposed method pass.

    Raises:
        NotAllowed: The caller is neither a peer nor has the method's role.
    """
    enough = {"viewer": _VIEW, "operator": _OPERATE}.get(role, _ADMIN)
    if not caller.peer and not caller.roles & enough:
        raise NotAllowed(
            f"{caller.name} may not call {method}: needs the role {role}", code="SF-SEC-003"
        )


def allows(patterns: tuple[str, ...], application: str | None) -> bool:
    """Say whether an application's name fits one of the patterns.

    Example:
        >>> allows(("web-*", "db"), "web-7"), allows(("web-*",), "pool"), allows(("*",), None)
        (True, False, False)
    """
    return application is not None and any(fnmatchcase(application, each) for each in patterns)
