"""Fetching a file over HTTP into a part that can be taken up again; blocks."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from engine.core.faults import Refused, TimedOut, Unreachable

PIECE = 2**18
SILENCE_S = 30.0


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fetch(
    url: str, part: Path, *, timeout_s: float, resume: bool, stop: Callable[[], bool]
) -> None:
    """Fetch what is at an address into a file, from where an earlier attempt stopped.

    A part is taken up only if the server says that what it has is still the same: by the validator
    (`ETag`, else the date) kept beside the part.

    Args:
        url: Where from.
        part: Where to; its validator stands beside it.
        timeout_s: Seconds in all.
        resume: Take up what is there.
        stop: Asked between pieces whether to give up.

    Raises:
        Unreachable: Nobody answers, or the connection broke.
        Refused: The server answers with an error, or with something else than was begun.
        TimedOut: It took too long.
    """
    until = time.monotonic() + timeout_s
    beside = part.with_name(f"{part.name}.validator")
    have = part.stat().st_size if resume and part.exists() and beside.exists() else 0
    asked = urllib.request.Request(url, headers={"Accept-Encoding": "identity"})  # noqa: S310 - http only
    if have:
        asked.add_header("Range", f"bytes={have}-")
        asked.add_header("If-Range", beside.read_text())
    try:
        with urllib.request.urlopen(asked, timeout=min(SILENCE_S, timeout_s)) as answer:  # noqa: S310
            _take(answer, part, beside, have, until, stop)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:  # shorter than what we have: it is another file
                part.unlink()
                raise Unreachable(f"{url} has changed meanwhile", hint="try again") from error
            raise Refused(
                f"{url} answers with {error.code} {error.reason}", code="SF-WEB-001"
            ) from None
    except TimeoutError as error:
        raise TimedOut(f"{url} was not fetched within {timeout_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Unreachable(f"{url} cannot be fetched: {reason}") from error


def _take(
    answer: http.client.HTTPResponse, part: Path, beside: Path, have: int, until: float,
    stop: Callable[[], bool],
) -> None:  # fmt: skip
    begin = _begin_of(answer) if answer.status == 206 else 0
    if begin not in {0, have}:
        raise Refused(f"{answer.url} sent another part than asked for", code="SF-WEB-001")
    validator = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    beside.unlink(missing_ok=True)
    length = answer.headers.get("Content-Length")
    whole = begin + int(length) if length is not None and length.isdigit() else None
    with part.open("r+b" if begin else "wb") as file:
        file.seek(begin)
        file.truncate()
        if validator and not validator.startswith("W/"):
            beside.write_text(validator)
        while piece := answer.read(PIECE):
            file.write(piece)
            if stop() or time.monotonic() > until:
                raise TimeoutError
        file.flush()
        os.fsync(file.fileno())
        got = file.tell()
    if whole is not None and got != whole:
        raise http.client.IncompleteRead(b"", whole - got)


def _begin_of(answer: http.client.HTTPResponse) -> int:
    match = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1
