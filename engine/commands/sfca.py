"""`sfca`: the authority of a community, and keys for signing descriptions."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from engine.commands._front import Command, Front, quiet_options

if TYPE_CHECKING:
    from engine.security.authority import Authority, Issued

F = TypeVar("F", bound=Callable[..., object])
ROLES = ("viewer", "operator", "admin")
"""What a client may be; daemons are peers."""


class Group(click.Group):
    """Several commands under one name, which also answer to `-h`."""

    command_class: type[click.Command] | None = Command


def _folder() -> Callable[[F], F]:
    return click.option(
        "--dir", "folder", type=click.Path(path_type=Path), envvar="SMARTDOMAINS_COMMUNITY_DIR",
        help="Folder of the authority.  [default: of this machine's own community]",
    )  # fmt: skip


def _place(folder: Path | None) -> Path:
    from engine.security.community import folder_of

    return folder if folder is not None else folder_of(os.environ)


def _open(folder: Path | None) -> Authority:
    from engine.security.authority import Authority

    return Authority(_place(folder))


def _words(texts: Sequence[str]) -> list[str]:
    """Take `--hosts a,b --hosts c` apart."""
    return [word.strip() for text in texts for word in text.split(",") if word.strip()]


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Issue, renew and revoke the certificates of daemons and their users.

    The authority is a folder. Its `ca.key` is what a community's safety rests on: keep it on one
    machine, and carry each certificate with its key to where it is used.
    """


@main.command()
@click.argument("name", default="smartdomains")
@_folder()
@quiet_options
def init(name: str, *, folder: Path | None, front: Front) -> None:
    """Make a new authority called NAME."""
    from engine.security.authority import Authority

    authority = Authority.create(_place(folder), name)
    front.result(
        {"folder": str(authority.folder)},
        f"made an authority in {authority.folder}\n"
        "next: sfca issue daemon NAME --hosts NAME, sfca issue client NAME --roles operator",
    )


@main.command()
@click.argument("kind", type=click.Choice(["daemon", "client"]))
@click.argument("name")
@click.option(
    "--hosts", multiple=True, help="Names and addresses a daemon is reached by, the usual first."
)
@click.option("--roles", multiple=True, help=f"What a client may do: {', '.join(ROLES)}.")
@click.option(
    "--names", multiple=True, metavar="PATTERN", help="Limit an operator to such applications."
)
@click.option("--days", default=365, show_default=True, help="How long it is valid.")
@_folder()
@quiet_options
def issue(
    kind: str, name: str, hosts: tuple[str, ...], roles: tuple[str, ...], names: tuple[str, ...],
    days: int, *, folder: Path | None, front: Front,
) -> None:  # fmt: skip
    """Issue a certificate with its key for the daemon or the client NAME."""
    unknown = [word for word in _words(roles) if word not in ROLES]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r}: one of {', '.join(ROLES)}", param_hint="--roles")
    from engine.security.identity import Role

    issued = _open(folder).issue(
        kind, name, hosts=_words(hosts), roles=[Role(word) for word in _words(roles)],
        names=_words(names), days=days,
    )  # fmt: skip
    _tell(front, "issued", issued)


@main.command()
@click.argument("name")
@click.option("--hosts", multiple=True, help="Other names and addresses than so far.")
@click.option("--days", default=365, show_default=True, help="How long it is valid.")
@_folder()
@quiet_options
def renew(
    name: str, hosts: tuple[str, ...], days: int, *, folder: Path | None, front: Front
) -> None:
    """Issue a new certificate like the one NAME has; the old one stays good until it expires."""
    _tell(front, "renewed", _open(folder).renew(name, hosts=_words(hosts), days=days))


@main.command()
@click.argument("name")
@_folder()
@quiet_options
def revoke(name: str, *, folder: Path | None, front: Front) -> None:
    """Revoke every certificate NAME was given: daemons that see the list refuse them at once."""
    authority = _open(folder)
    gone = authority.revoke(name)
    text = (
        f"revoked {len(gone)} certificates of {name}\n"
        f"daemons elsewhere need the new list: {authority.folder / 'crl.pem'}"
    )
    front.result({"name": name, "revoked": [each.certificate.serial for each in gone]}, text)


@main.command("list")
@_folder()
@quiet_options
def list_(*, folder: Path | None, front: Front) -> None:
    """List all certificates ever issued, with what they are good for and until when."""
    issued = _open(folder).issued()
    text = "\n".join(
        f"{each.certificate.name:<24} {each.certificate.kind:<7} {each.state:<8} "
        f"{_days(each)} {_good_for(each)}"
        for each in issued
    )
    front.result([_data(each) for each in issued], text or "nothing was issued")


@main.command()
@click.argument("name")
@_folder()
@quiet_options
def show(name: str, *, folder: Path | None, front: Front) -> None:
    """Show every certificate that NAME was given."""
    from engine.core.faults import NotFound

    found = [each for each in _open(folder).issued() if each.certificate.name == name]
    if not found:
        raise NotFound(f"{name} was never given a certificate", code="SF-CA-005")
    blocks = []
    for each in found:
        lines = [f"{key:<8} {_text(value)}" for key, value in _data(each).items() if value]
        blocks.append("\n".join(lines))
    front.result([_data(each) for each in found], "\n\n".join(blocks))


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@quiet_options
def keygen(file: Path, *, front: Front) -> None:
    """Make a key for signing descriptions, FILE, and print the public half for `description_keys`."""
    from engine.security.signatures import make_key

    public = make_key(file)
    front.result({"file": str(file), "public": public}, public)


@main.command()
@click.argument("description", type=click.Path(path_type=Path))
@click.option(
    "--key", "key", required=True, type=click.Path(path_type=Path), help="Key made by keygen."
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="[default: DESCRIPTION.sig]")
@click.option("-I", "--include", "folders", multiple=True, type=click.Path(path_type=Path),
              help="Also look for included files here.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="REF=VALUE",
              help="As it will be given to sfstart.")  # fmt: skip
@quiet_options
def sign(
    description: Path, key: Path, output: Path | None, folders: tuple[Path, ...],
    settings: tuple[str, ...], *, front: Front,
) -> None:  # fmt: skip
    """Compile DESCRIPTION and sign what comes out, for `sfstart --signature`."""
    import sfdl
    from engine.commands._front import override
    from engine.security.signatures import sign as make

    overrides = [override(text) for text in settings]
    tree = sfdl.compile(description, search_path=folders, overrides=overrides).root
    digest = sfdl.digest(tree)
    output = output if output is not None else description.with_name(f"{description.name}.sig")
    output.write_text(f"{make(digest, key)}\n", "utf-8")
    front.result({"file": str(output), "digest": digest}, f"signed {digest[:16]}... in {output}")


def _tell(front: Front, did: str, issued: Issued) -> None:
    own = issued.certificate
    key = issued.file.with_suffix(".key")
    line = f"{did} {own.kind} {own.name}, {_good_for(issued)}, until {own.expires}"
    text = f"{line}\n  {issued.file}\n  {key}"
    front.result(_data(issued), text)


def _good_for(issued: Issued) -> str:
    own = issued.certificate
    words = ", ".join(own.hosts if own.kind == "daemon" else sorted(r.value for r in own.roles))
    return f"{words} on {', '.join(own.names)}" if own.names else words


def _days(issued: Issued) -> str:
    return f"{round((issued.certificate.expires_s - time.time()) / 86400):>5} days"


def _data(issued: Issued) -> dict[str, object]:
    import msgspec

    found: dict[str, object] = msgspec.to_builtins(issued.certificate)
    return {**found, "roles": sorted(role.value for role in issued.certificate.roles),
            "state": issued.state, "file": str(issued.file)}  # fmt: skip


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
