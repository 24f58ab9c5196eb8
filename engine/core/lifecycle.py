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
        return self is State.TERMINATING or self is State.TERMINATED


_STATES = {
    "create": (State.CREATING, State.CREATED),
    "deploy": (State.DEPLOYING, State.DEPLOYED),
    "start": (State.STARTING, State.STARTED),
}


class Phase(Enum):
    """The three walks over a tree that bring it to life, in order.

    Attributes:
        before: The state a component must be in to enter it; nothing for CREATE.
        during: The state shown while its hook runs.
        after: The state once it is done.
    """

    CREATE = "create"
    DEPLOY = "deploy"
    START = "start"

    def __init__(self, word: str) -> None:
        """Look up the states of a phase once: they are asked for very often."""
        self.before = {"deploy": State.CREATED, "start": State.DEPLOYED}.get(word)
        self.during = _STATES[word][0]
        self.after = _STATES[word][1]


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
    return Permit.GO if state is phase.before else Permit.WRONG_STATE
