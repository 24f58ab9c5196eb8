"""Carrying out actions: one table, of the same functions as the commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import NamedTuple

from engine.client.client import Client, DaemonUnreachable
from engine.commands import _calling, _changing, _ending, _growing, _looking, _reporting
from engine.commands._actions import DEPLOYING, Action, ActionError, Verb
from engine.commands._exit import Exit, exit_of
from engine.commands._front import Front
from engine.commands._outcome import Outcome
from engine.commands._progress import UNDO_S
from engine.core.events import Event, StateChanged
from engine.core.faults import EngineError, NotFound, Refused
from sfdl.errors import CompileError, SmartDomainsError
from sfdl.values import Description

ROOT = "rootProcess"
LOOK_S = 0.2
"""Seconds between looks at actions that are being called off."""
TELLS_S = 5.0
"""Seconds an action that was called off has to tell what became of it."""


class Done(NamedTuple):
    """What became of one action on one host."""

    action: Action
    host: str
    outcome: Outcome | None
    code: Exit
    problem: str = ""

    @property
    def deployed(self) -> bool:
        """Say whether something runs now that did not before."""
        return self.action.verb in {Verb.DEPLOY, Verb.LOAD} and self.code == Exit.DONE

    @property
    def failed_to_deploy(self) -> bool:
        """Say whether something was to run and does not."""
        return self.action.verb in DEPLOYING and self.code != Exit.DONE

    @property
    def line(self) -> str:
        """Say it in the one line each action ends with."""
        word = "SUCCESSFUL" if self.code == Exit.DONE else "FAILED"
        why = f" ({self.problem})" if self.problem else ""
        return f" - {word} {self.action.verb.value} {self.action.name} host={self.host}{why}"


class Site(NamedTuple):
    """Where an action is carried out, and how to speak."""

    front: Front
    host: str

    def client(self, process: str = "") -> Client:
        """Return a client of the daemon there, or of its sub-process of that name, which has answered.

        Raises:
            NotFound: There is no such sub-process.
        """
        client = self.front.reach(self.host)
        if process in {"", ROOT}:
            return client
        running = dict(client.diagnosis().facts).get("subprocesses", "")
        places = dict(each.split(" at ", 1) for each in running.split(", ") if " at " in each)
        if process not in places:
            raise NotFound(f"there is no process {process} at {self.host}; running: {running}")
        inside = Client(places[process], timeout_s=self.front.timeout_s)
        inside.hello()
        return inside


def carry_out(front: Front, action: Action, *, together: bool) -> Iterator[Done]:
    """Do an action on each of its hosts: in turn, or together; order is that of the hosts.

    Raises:
        KeyboardInterrupt: After what became of it on each host, as far as that is known.
    """
    sites = [Site(_quiet(front), host) for host in action.hosts]
    if together:
        yield from _together(front, action, sites)
    else:
        for site in sites:
            yield _one(site, action)


def _together(front: Front, action: Action, sites: list[Site]) -> Iterator[Done]:
    """Do it on all hosts at once; an interrupt has what is being made there rolled back."""
    works = {_begun(site, action): site for site in sites}
    interrupted = False
    try:
        wait(works)
    except KeyboardInterrupt:
        interrupted = True
        front.say("interrupted: stopping it on all hosts; again to leave at once")
        _call_off(works, undo=action.verb in DEPLOYING)
    yield from (work.result() for work in works if work.done())
    if interrupted:
        raise KeyboardInterrupt


def _begun(site: Site, action: Action) -> Future[Done]:
    """Do it in a thread that keeps nobody from leaving."""
    work: Future[Done] = Future()

    def run() -> None:
        try:
            work.set_result(_one(site, action))
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            work.set_exception(error)

    Thread(target=run, name=f"{action.verb.value} {site.host}", daemon=True).start()
    return work


def _call_off(works: dict[Future[Done], Site], *, undo: bool) -> None:
    """Have what is under way rolled back, and wait a while for that."""
    began_s = time.monotonic()
    until_s = dict.fromkeys(works, began_s + (UNDO_S if undo else LOOK_S))
    asked: set[Future[Done]] = set()
    while left := [
        work for work in works if not work.done() and time.monotonic() < until_s[work]
    ]:  # fmt: skip
        for work in left if undo else ():
            front = works[work].front
            if front.request_id and work not in asked:
                asked.add(work)
                with suppress(EngineError):  # then its own call tells why
                    works[work].client().cancel(front.request_id, UNDO_S)
                until_s[work] = time.monotonic() + TELLS_S
        wait(left, LOOK_S)


def undo(front: Front, deployed: list[Done]) -> list[Done]:
    """End what this run has deployed, newest first."""
    return [
        _one(Site(_quiet(front), done.host), Action(_deployed_as(done), Verb.TERMINATE))
        for done in reversed(deployed)
    ]


def _deployed_as(done: Done) -> str:
    """Return the name something was deployed under, which may have been made up."""
    data = done.outcome.data if done.outcome is not None else None
    return str(data["name"]) if isinstance(data, dict) else done.action.name


def _quiet(front: Front) -> Front:
    return Front(
        port=front.port, timeout_s=front.timeout_s, as_json=front.as_json, quiet=True,
        verbose=False,
    )  # fmt: skip


def _one(site: Site, action: Action) -> Done:
    try:
        outcome = TABLE[action.verb](site, action)
    except SmartDomainsError as error:
        return Done(action, site.host, None, code_of(error), _why(error))
    why = "" if outcome.code == Exit.DONE else "see above"
    return Done(action, site.host, outcome, outcome.code, why)


def _why(error: SmartDomainsError) -> str:
    """Say in one line why it failed, and where unless that is said already."""
    if isinstance(error, EngineError) and error.fault.where in error.fault.message:
        return error.fault.message
    return str(error).partition("\n")[0]


def code_of(error: SmartDomainsError) -> Exit:
    """Return the exit code of a failure."""
    if isinstance(error, CompileError):
        return Exit.DESCRIPTION
    if isinstance(error, ActionError):
        return Exit.USAGE
    if isinstance(error, DaemonUnreachable):
        return Exit.UNREACHABLE
    return exit_of(error.fault) if isinstance(error, EngineError) else Exit.FAILED


# -- the actions


def _name(action: Action) -> str:
    """Return the name as the daemon of the host knows it: below its sub-process, if one is named."""
    if action.process in {"", ROOT}:
        return action.name
    return f"{action.process}:{action.name}"


def _compiled(action: Action) -> _growing.Compiled:
    return _growing.compiled(_growing.Source(Path(action.source), sub=action.sub))


def _deploy(site: Site, action: Action, until: str = "started") -> Outcome:
    made = _compiled(action)
    parent, _, name = action.name.rpartition(":")
    if parent and until == "deployed":
        raise Refused("LOAD makes whole applications, not children")
    if action.process not in {"", ROOT}:
        if not parent:
            raise Refused(
                f"the root of an application is not made in the process {action.process}: "
                "give its parts that sfProcessName"
            )
        tree: Description = made.tree.overlaid((("sfProcessName", action.process),))
        made = made._replace(tree=tree)
    application = name if parent else _growing.named(name, made.tree)
    return _growing.start(
        site.front, site.client(), site.host, application, made, until=until, parent=parent
    )


def _deploy_and_wait(site: Site, action: Action) -> Outcome:
    client = site.client()
    _, cursor, _ = client.events()
    outcome = _deploy(site, action)
    name = str(outcome.data["name"]) if isinstance(outcome.data, dict) else action.name
    event = _end_of(client, name, cursor)
    record = event.body.record if event and isinstance(event.body, StateChanged) else None
    if record is None:
        return outcome
    text = f"{outcome.text}\nended: {record.sentence()}"
    code = Exit.DONE if record.is_normal else Exit.FAILED
    return Outcome({**outcome.data, "record": record.type}, text, code)  # type: ignore[dict-item]


def _end_of(client: Client, name: str, cursor: str) -> Event | None:
    for event in _looking.happenings(client, name, follow=True, kinds=("state",), cursor=cursor):
        if event is None:
            try:
                client.tree(name, depth=0)
            except NotFound:
                return None
        elif _looking.ended(event, name):
            return event
    return None


def _terminate(site: Site, action: Action) -> Outcome:
    if action.name:
        why = _ending.record("sf")
        return _ending.terminate(site.front, site.client(), _name(action), why)
    return _ending.stop(site.front, site.client(action.process))


def _at(site: Site, action: Action) -> tuple[Client, str]:
    """Return whom to ask, and by which name: the process itself if there is no name."""
    if action.name:
        return site.client(), _name(action)
    return site.client(action.process), ""


def _ping(site: Site, action: Action) -> Outcome:
    client, name = _at(site, action)
    return _looking.ping_component(client, name) if name else _looking.ping(client)


def _diagnose(site: Site, action: Action) -> Outcome:
    client, name = _at(site, action)
    if name:
        return _reporting.diagnosis_of(client, name, site.front.client)
    return _reporting.diagnosis(client)


def _status(site: Site, action: Action) -> Outcome:
    client, name = _at(site, action)
    return _looking.status(client, site.host, name)


def _parse(_site: Site, action: Action) -> Outcome:
    import sfdl

    text = sfdl.print_file(_compiled(action).tree)
    return Outcome({"description": text}, text.rstrip())


def _dump(site: Site, action: Action) -> Outcome:
    text, lost = _looking.dump(site.client(), _name(action))
    return Outcome({"description": text, "lost": list(lost)}, text.rstrip())


def _plan(site: Site, action: Action) -> Outcome:
    tree = _compiled(action).tree
    name = _growing.named(action.name, tree)
    return _growing.planned(name, site.client().plan(name, tree))


def _update(site: Site, action: Action) -> Outcome:
    tree = _compiled(action).tree
    return _changing.update(site.front, site.client(), site.host, _name(action), tree)


def _call(site: Site, action: Action) -> Outcome:
    words = [word.strip() for word in action.sub.split(",")] if action.sub else []
    return _calling.call(
        site.front, site.client(), _name(action), action.source, words, site.front.client
    )


TABLE: dict[Verb, Callable[[Site, Action], Outcome]] = {
    Verb.DEPLOY: _deploy,
    Verb.DEPLOYWAIT: _deploy_and_wait,
    Verb.LOAD: lambda site, action: _deploy(site, action, "deployed"),
    Verb.TERMINATE: _terminate,
    Verb.DETACH: lambda site, action: _ending.detach(site.front, site.client(), _name(action)),
    Verb.DETaTERM: lambda site, action: _ending.detach_and_terminate(
        site.front, site.client(), _name(action), _ending.record("sf")
    ),
    Verb.UPDATE: _update,
    Verb.PING: _ping,
    Verb.DUMP: _dump,
    Verb.LIST: lambda site, action: _looking.listing(*_at(site, action)),
    Verb.DIAGNOSTICS: _diagnose,
    Verb.PARSE: _parse,
    Verb.PLAN: _plan,
    Verb.STATUS: _status,
    Verb.CALL: _call,
}
"""What each action does."""
