"""What the volumes of one domain are filled from, and who runs the commands for that."""

from __future__ import annotations

import contextlib
import os
import shutil
from abc import abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import ClassVar

from msgspec import Struct

from components.hosts.reservations import Gate
from components.images.kinds import ImageFacts, digest_of, examine
from components.storage.declared import StorageAttributes
from components.storage.filling import how_to_fill
from components.surroundings.above import said_above
from components.system.shell import Shell, ShellExecutor
from engine.core.faults import BadDescription, Refused
from engine.runtime.commands import search_path
from engine.runtime.kinds import BadValueError, int_
from engine.wire.messages import Handle

PARALLEL = 2
"""Images written at a time where nothing is said."""
ROOM = 1.1
"""A volume that an archive or folder is unpacked to must be so much larger."""


class Wanted(Struct, frozen=True):
    """A volume that is to be.

    Attributes:
        role: `root`, `swap` or `data`.
        name: Its name, without folder, group or pool.
        size_bytes: Its size.
        make_fs: Filesystem maker and arguments; `none` for no filesystem.
    """

    role: str
    name: str
    size_bytes: int
    make_fs: tuple[str, ...]


class ImageWrites:
    """Turns at writing images, of one process."""

    def __init__(self) -> None:
        """Let the first ones in."""
        self.gate = Gate()


class Sourced(StorageAttributes):
    """Storage that knows what its root volume is filled from.

    Attributes:
        writes_images: Whether its root volumes are filled with the whole of an image.
        user_shell: Shell of the domain it serves, if that has one.
    """

    writes_images: ClassVar[bool] = True

    def __init__(self) -> None:
        """Have no shell of a domain yet."""
        self.user_shell: Handle | None = None

    @abstractmethod
    def layout(self) -> tuple[Wanted, ...]:
        """Return the volumes to be."""

    async def image(self) -> ImageFacts:
        """Return what fills the root volume.

        Raises:
            Refused: It is missing, unreadable, another one than expected, or larger than the volume.
        """
        if not self.base_image.given:
            raise BadDescription(
                "baseImage must be given", code="SF-STORE-006", where=self.path,
                hint="name an image, or say usingExistingVolumes true",
            )  # fmt: skip
        if self.base_image.text:
            facts = await self.run_blocking(examine, Path(self.base_image.text).expanduser())
        else:
            facts = await self.base_image.api.facts()
        if self.image_digest and facts.kind != "directory":
            found = await self.run_blocking(digest_of, Path(facts.path))
            if found != self.image_digest:
                raise Refused(
                    f"image {facts.path} has digest {found}, not {self.image_digest}",
                    code="SF-IMAGE-004", where=self.path,
                    hint="get the image anew, or correct imageDigest",
                )  # fmt: skip
        room = ROOM if facts.kind in {"tar", "directory"} else 1.0
        if facts.size_bytes * room > self.volume_size:
            raise Refused(
                f"ImageTooBig: image {facts.path} needs {round(facts.size_bytes * room)} bytes, "
                f"volumeSize is {self.volume_size}",
                code="SF-IMAGE-005", where=self.path, hint="raise volumeSize",
            )  # fmt: skip
        self.check_image(facts)
        return facts

    def check_image(self, image: ImageFacts) -> None:
        """Refuse an image that volumes of this kind cannot be filled from.

        Raises:
            Refused: It needs a filesystem maker that this host does not have, or that cannot fill one.
        """
        maker = self.make_fs[0]
        try:
            how = how_to_fill(self.populate_mode, image.kind, maker, root=os.geteuid() == 0)
        except BadValueError as error:
            raise Refused(
                f"makeFs {maker} with populateMode {self.populate_mode}: {error}",
                code="SF-STORE-001", where=self.path, hint="use mkfs.ext4, or another populateMode",
            ) from error  # fmt: skip
        makers = {one.make_fs[0] for one in self.layout() if one.role == "data"} - {"none"}
        for program in sorted(makers | ({maker} if how != "copy" else set())):
            if shutil.which(program, path=search_path()) is None:
                raise Refused(
                    f"makeFs {program}: there is no such program on this host", code="SF-STORE-001",
                    where=self.path, hint="install it, or use mkfs.ext4 or another maker",
                )  # fmt: skip

    def executor(self) -> ShellExecutor | None:
        """Return who runs host commands, if not the daemon itself."""
        if self.shell.given:
            return ShellExecutor(self.shell.api.execute)
        if self.user_shell is not None:
            return ShellExecutor(self._through(self.user_shell))
        return None

    def _through(self, shell: Handle) -> ShellExecutor.Execute:
        async def execute(script: str, timeout_s: float) -> object:
            return await self.call(shell, Shell, "execute", script, timeout_s)

        return execute

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn at writing an image, as `maxParallelImageWrites` above it says."""
        if not self.writes_images:
            yield
            return
        most = await said_above(self, "maxParallelImageWrites", int_)
        async with self.service(ImageWrites).gate.turn(max(1, PARALLEL if most is None else most)):
            yield
