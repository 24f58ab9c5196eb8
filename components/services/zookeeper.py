"""`ZooKeeperServer`: a server of ZooKeeper, alone or one of an ensemble."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from components.services.server import Answer, Look, Server, on_path, wrong
from engine.runtime.attributes import attr, output
from engine.runtime.kinds import BadValueError, Kind, int_, shown, size_bytes, strings
from sfdl.values import Description, Value

JAR = "/usr/share/java/zookeeper.jar"
LOGGING_JAR = "/usr/share/java/slf4j-simple.jar"
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
MEMBER = re.compile(r"(\[[0-9a-fA-F:]+\]|[\w.-]+):(\d+):(\d+)")
STOP_S = 15


def _members(value: Value) -> tuple[str, ...]:
    for member in (members := strings.read(value)):
        match = MEMBER.fullmatch(member)
        if match is None or not all(0 < int(port) < 65536 for port in (match[2], match[3])):
            raise BadValueError(f'must be servers as "host:peerPort:electionPort" (got "{member}")')
    if len(set(members)) != len(members):
        raise BadValueError(f"must not name a server twice (got {shown(value)})")
    return members


class ZooKeeperServer(Server, type="service.zookeeper"):
    """A ZooKeeper server of this host: ready when it serves, in an ensemble when there is a quorum.

    What it has acknowledged is on disk in `dataDir`, which a server of an ensemble must have: one that
    forgets what it has promised breaks the promise of all.
    """

    port = attr(int_, 2181, ge=1, le=65535, doc="Port for clients.")
    servers = attr(
        Kind("list of servers", "Vector", _members), None,
        doc="The ensemble, as host:peerPort:electionPort each; not given: one server by itself.",
    )  # fmt: skip
    myid = attr(int_, None, ge=1, le=255, doc="Which of the servers this is, from 1 on.")
    tick = attr(
        int_, 500, ge=50, le=60_000, doc="Length of a tick, in milliseconds.", called="tickTime"
    )
    heap = attr(size_bytes, "128m", ge=32 * 2**20, doc="Most memory for its data.")
    mode = output(str, doc="What it is: standalone, leader, follower, or nothing while it waits.")

    package: ClassVar[str] = "zookeeper default-jre-headless"
    needs: ClassVar[tuple[str, ...]] = (JAR, on_path("java"), on_path("flock"))

    @override
    async def on_deploy(self) -> None:
        members = self.servers or ()
        if members and not self.external:
            if self.myid is None or self.myid > len(members):
                text = f"myid must say which of the {len(members)} servers this is"
                raise wrong(self.path, text, f"write myid 1 to {len(members)}")
            if self.data is None:
                text = "a server of an ensemble needs dataDir: what it promised must outlive it"
                raise wrong(self.path, text, "give each server a folder of its own")
        await super().on_deploy()

    @override
    def port_taken(self) -> tuple[int, ...]:
        return (self.port,)

    @override
    def files(self) -> Mapping[str, str]:
        lines = {
            "tickTime": self.tick, "initLimit": 10, "syncLimit": 5, "dataDir": self.data_folder,
            "clientPort": self.port, "clientPortAddress": self.bind, "admin.enableServer": "false",
            "minSessionTimeout": 2 * self.tick, "maxSessionTimeout": 60_000,
            "autopurge.snapRetainCount": 3, "autopurge.purgeInterval": 24,
            "4lw.commands.whitelist": "ruok,srvr,mntr",
        }  # fmt: skip
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        if self.servers:
            text += "standaloneEnabled=false\n"
            text += "".join(f"server.{n}={each}\n" for n, each in enumerate(self.servers, 1))
        return {"zoo.cfg": text, str(self.data_folder / "myid"): str(self.myid or 1)}

    @override
    def programs(self) -> Mapping[str, Description]:
        words = [
            "java", f"-Xmx{self.heap >> 20}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "-XX:+ExitOnOutOfMemoryError", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
            *(() if ":" in self.bind else ("-Djava.net.preferIPv4Stack=true",)),
            "-cp", f"{self.folder}:{JAR}:{LOGGING_JAR}", MAIN, str(self.folder / "zoo.cfg"),
        ]  # fmt: skip
        return {"server": self.program(words, {}, STOP_S)}

    @override
    async def look(self) -> Look:
        try:
            text = await four_letters(self.reach, self.port, b"srvr")
        except OSError as error:
            nothing = f"nothing at {self.reach}:{self.port}: {error.strerror or error}"
            return self._seen_as("", Look(Answer.SILENT, nothing))
        found = re.search(r"^Mode: (\w+)", text, re.MULTILINE)
        if found is None:
            said = text.strip().splitlines()[:1] or ["it answers nothing"]
            return self._seen_as("", Look(Answer.WAITS, f"it does not serve yet: {said[0]}"))
        return self._seen_as(found[1], Look(Answer.SERVES))

    def _seen_as(self, mode: str, look: Look) -> Look:
        self.mode = mode
        return look


async def four_letters(host: str, port: int, word: bytes) -> str:
    """Ask a ZooKeeper server one of its four-letter questions, and return the answer.

    Raises:
        OSError: It cannot be reached.
    """
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(word)
        return (await reader.read(65536)).decode(errors="replace")
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
