"""The life cycle of one component: its states, and what a request does in each."""

from __future__ import annotations

from enum import Enum


class State(Enum):
    """Where a component is in its life; the `x-ING` states are visible while a hook runs."""

    CREATING = "creating"
    CREATED = "created"
    DEPLOYING = "deploying"
    DEPLOYED = "deployed"
    STARTING = "starting"
    STARTED = "started"
    TERMINATING = "terminating"
    TERMINATED = "terminated"

    @property
    def ended(self) -> bool:
        """Say whether the component is ending or has ended."""
        return self in {State.TERMINATING, State.TERMINATED}


class Phase(Enum):
    """The three walks over a tree that bring it to life, in order."""

    CREATE = "create"
    DEPLOY = "deploy"
    START = "start"

    @property
    def during(self) -> State:
        """Return the state shown while the phase's hook runs."""
        return _DURING[self]

    @property
    def after(self) -> State:
        """Return the state once the phase is done."""
        return _AFTER[self]


_DURING = {
    Phase.CREATE: State.CREATING,
    Phase.DEPLOY: State.DEPLOYING,
    Phase.START: State.STARTING,
}
_AFTER = {Phase.CREATE: State.CREATED, Phase.DEPLOY: State.DEPLOYED, Phase.START: State.STARTED}
_BEFORE = {Phase.DEPLOY: State.CREATED, Phase.START: State.DEPLOYED}


class Permit(Enum):
    """The answer to "may this request go ahead?"."""

    GO = "go"
    DONE = "done"  # a repeat whose first answer was lost: success without effect
    ENDED = "ended"
    WRONG_STATE = "wrong state"


def may_enter(phase: Phase, state: State) -> Permit:
    """Decide whether a component in `state` may enter a phase.

    Example:
        >>> may_enter(Phase.START, State.CREATED)
        <Permit.WRONG_STATE: 'wrong state'>
        >>> may_enter(Phase.DEPLOY, State.DEPLOYED)
        <Permit.DONE: 'done'>
    """
    if state.ended:
        return Permit.ENDED
    if state is phase.after:
        return Permit.DONE
    return Permit.GO if state is _BEFORE.get(phase) else Permit.WRONG_STATE
