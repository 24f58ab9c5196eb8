"""What every command shares: options, output, and turning failures into messages and exit codes."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from engine.commands._exit import Exit, exit_of

if TYPE_CHECKING:
    from engine.client.client import Client
    from engine.commands._outcome import Outcome
    from engine.core.faults import Fault
    from sfdl.errors import SmartDomainsError

F = TypeVar("F", bound=Callable[..., object])


class Front:
    """One command's way to speak: data on standard output, the rest on standard error."""

    def __init__(
        self, *, port: int, timeout_s: float, as_json: bool, quiet: bool, verbose: bool
    ) -> None:
        """Take the shared options."""
        self.port = port
        self.timeout_s = timeout_s
        self.as_json = as_json
        self.quiet = quiet
        self.verbose = verbose
        self.request_id = ""

    def address(self, host: str) -> str:
        """Return `host:port` for what the user called the host."""
        from engine.core.addresses import address_of

        return address_of(host, self.port)

    def client(self, host: str) -> Client:
        """Return a client of the daemon at a host; nothing is sent yet."""
        from engine.client.client import Client

        return Client(self.address(host), timeout_s=self.timeout_s)

    def reach(self, host: str) -> Client:
        """Return a client of the daemon at a host, which has answered and speaks our protocol."""
        client = self.client(host)
        client.hello()
        return client

    def result(self, data: object, text: str, code: Exit = Exit.DONE) -> None:
        """Give the result: one JSON object, or text for people."""
        if self.as_json:
            self._json({"ok": code == Exit.DONE, "code": int(code), "result": data})
        elif text:
            click.echo(text)

    def give(self, outcome: Outcome) -> None:
        """Show what came of it, and leave with its exit code unless all is well."""
        self.result(*outcome)
        if outcome.code != Exit.DONE:
            sys.exit(outcome.code)

    def line(self, text: str) -> None:
        """Show a line that the next one overwrites, where standard error is a terminal."""
        if sys.stderr.isatty() and not self.quiet and not self.as_json:
            click.echo(f"\r\x1b[K{text}", err=True, nl=False)

    def say(self, text: str) -> None:
        """Tell people something on the side."""
        if not self.quiet and not self.as_json:
            click.echo(text, err=True)

    def fail(self, error: SmartDomainsError, code: Exit | None = None) -> NoReturn:
        """Report a failure and leave with its exit code."""
        fault: Fault | None = getattr(error, "fault", None)
        if fault is None:
            self._fail_plain(error, code or Exit.FAILED)
        code = code or exit_of(fault)
        if self.as_json:
            self._json({"ok": False, "code": int(code), "error": self._error(fault)})
        else:
            name = click.get_current_context().info_name or "sf"
            click.echo(_message(name, fault), err=True)
        sys.exit(code)

    def _fail_plain(self, error: SmartDomainsError, code: Exit) -> NoReturn:
        if self.as_json:
            problem = {"kind": type(error).__name__, "message": str(error), "code": error.code}
            self._json({"ok": False, "code": int(code), "error": problem})
        else:
            click.echo(str(error), err=True)
        sys.exit(code)

    def _error(self, fault: Fault) -> Mapping[str, object]:
        return {
            "kind": fault.kind.value,
            "code": fault.code,
            "message": fault.message,
            "component": fault.where,
            "phase": fault.phase,
            "hint": fault.hint,
            "causes": [cause.message for cause in fault.chain()[1:]],
            "undo": {"undone": fault.undone, "leftovers": list(fault.leftovers)},
            "request_id": self.request_id,
        }

    def interrupted(self, text: str) -> NoReturn:
        """Say what an interrupt did, and leave."""
        text = text or "interrupted"
        if self.as_json:
            error = {"kind": "Interrupted", "message": text, "request_id": self.request_id}
            self._json({"ok": False, "code": int(Exit.INTERRUPTED), "error": error})
        else:
            click.echo(text, err=True)
        sys.exit(Exit.INTERRUPTED)

    def _json(self, data: object) -> None:
        import msgspec

        click.echo(msgspec.json.encode(data).decode())


def _message(command: str, fault: Fault) -> str:
    code = f" {fault.code}" if fault.code else ""
    lines = [f"{command}: error{code}: {fault.message}"]
    if fault.where and fault.where not in fault.message:
        lines.append(f"   component   {fault.where}")
    if fault.phase:
        lines.append(f"   phase       {fault.phase}")
    shown = {fault.message}
    for cause in fault.chain()[1:]:
        if not any(cause.message in text for text in shown):
            place = f"{cause.where}: " if cause.where and cause.where != fault.where else ""
            lines.append(f"   cause       {place}{cause.message}")
        shown.add(cause.message)
    if fault.leftovers:
        lines.extend(f"   left behind {line}" for line in fault.leftovers)
        lines.append("   the reaper goes on with these; sfdiag shows how it stands")
    elif fault.undone:
        lines.append(f"   left behind nothing: {fault.undone} components were rolled back")
    hints = [each.hint for each in fault.chain() if each.hint]
    if hints:
        lines.append(f"   help        {hints[0]}")
    return "\n".join(lines)


class Command(click.Command):
    """A command that also answers to `-h`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        settings = kwargs.setdefault("context_settings", {})
        settings["help_option_names"] = ["-h", "--help"]
        super().__init__(*args, **kwargs)


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's form
    if value:
        from importlib.metadata import version

        click.echo(f"{ctx.info_name} {version('smartdomains')}")
        ctx.exit()


SECURITY: tuple[Callable[[F], F], ...] = (
    click.option("--cert", default="", help="Your certificate, PEM.  [default: found by itself]"),
    click.option("--key", default="", help="Its key."),
    click.option("--ca", default="", help="Certificate of the authority believed."),
    click.option("--insecure", is_flag=True, help="The daemon runs without TLS."),
)
"""Options of every command that goes to a daemon."""


def set_up(**said: str) -> None:
    """Let an option be the setting of the same name, for this run."""
    os.environ.update({f"SMARTDOMAINS_{name.upper()}": text for name, text in said.items() if text})


def shared(*, timeout_s: float = 60.0) -> Callable[[F], F]:
    """Give a command the shared options; it gets a `front`, and its failures become exit codes."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def run(
            *args: Any, port: int, timeout: float, as_json: bool, quiet: bool, verbose: bool,
            request_id: str, cert: str, key: str, ca: str, insecure: bool, **kwargs: Any,
        ) -> object:  # fmt: skip
            set_up(cert=cert, key=key, ca=ca, insecure="1" if insecure else "")
            front = Front(
                port=port, timeout_s=timeout, as_json=as_json, quiet=quiet, verbose=verbose
            )
            front.request_id = request_id
            return _guarded(front, lambda: function(*args, front=front, **kwargs))

        options = [
            click.option("-p", "--port", default=3800, show_default=True, help="Port of the daemon."),
            click.option("--timeout", default=timeout_s, show_default=True, help="Seconds to wait."),
            click.option("--json", "as_json", is_flag=True, help="One JSON object as the result."),
            click.option("-q", "--quiet", is_flag=True, help="No progress."),
            click.option("-v", "--verbose", is_flag=True, help="Say more."),
            *SECURITY,
            click.option("--request-id", default="", help="Ask again about an earlier request."),
            click.option(
                "--version", is_flag=True, callback=_version, expose_value=False, is_eager=True,
                help="Show the version.",
            ),
        ]  # fmt: skip
        for option in reversed(options):
            run = option(run)
        return run  # type: ignore[return-value] # click wraps it

    return decorate


def quiet_options(function: F) -> F:
    """Give a command that goes to no daemon its shared options and a `front`; see `shared`."""

    @functools.wraps(function)
    def run(*args: Any, as_json: bool, quiet: bool, **kwargs: Any) -> object:
        front = Front(port=0, timeout_s=0.0, as_json=as_json, quiet=quiet, verbose=False)
        return _guarded(front, lambda: function(*args, front=front, **kwargs))

    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object as the result."),
        click.option("-q", "--quiet", is_flag=True, help="Say less."),
    ):
        run = option(run)
    return run  # type: ignore[return-value] # click wraps it


def override(text: str) -> tuple[str, str]:
    """Read `REF=VALUE` of `--set`: an attribute below sfConfig, and its value."""
    ref, found, value = text.partition("=")
    if not found or not ref:
        raise click.BadParameter(f"{text!r} is not REF=VALUE", param_hint="--set")
    return f"sfConfig:{ref}", value


def _guarded(front: Front, work: Callable[[], object]) -> object:
    from engine.client.client import DaemonUnreachable
    from sfdl.errors import CompileError, SmartDomainsError

    try:
        return work()
    except DaemonUnreachable as error:
        front.fail(error, Exit.UNREACHABLE)
    except SmartDomainsError as error:
        front.fail(error, Exit.DESCRIPTION if isinstance(error, CompileError) else None)
    except OSError as error:
        click.echo(f"error: {error.filename or ''}: {error.strerror or error}", err=True)
        sys.exit(Exit.FAILED)
    except UnicodeEncodeError:
        click.echo("error: an argument is not valid text", err=True)
        sys.exit(Exit.USAGE)
    except KeyboardInterrupt as error:
        front.interrupted(str(error))
