"""`RabbitMQServer`: a message broker with a virtual host and a user made."""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
from collections.abc import Mapping
from typing import ClassVar

from typing_extensions import override

from components.services.server import Answer, Look, Server, on_path, process, wrong
from engine.ports import free_ports
from engine.runtime.attributes import attr
from engine.runtime.kinds import BadValueError, Kind, int_, shown
from sfdl.values import Description, Value

PROGRAM = "/usr/lib/rabbitmq/bin/rabbitmq-server"
NODE = "smartdomains@localhost"
STOP_S = 45
EPMD_STOP_S = 5


def _filled(value: Value) -> str:
    if isinstance(value, str) and value.strip():
        return value
    raise BadValueError(f"must be a name (got {shown(value)})")


filled = Kind("name", "String", _filled)


class RabbitMQServer(Server, type="service.rabbitmq"):
    """A RabbitMQ broker of this host: ready when its user can log in at its virtual host.

    Its Erlang port mapper is its own, on loopback, and ends with it. Durable queues and persistent
    messages are in `dataDir`.
    """

    port = attr(int_, 5672, ge=1, le=65535, doc="Port for AMQP clients.")
    management = attr(
        int_, None, ge=1, le=65535, called="managementPort",
        doc="Port of the management plug-in; it is off if not given.",
    )  # fmt: skip
    vhost = attr(filled, "/", doc="Virtual host.")
    user = attr(filled, doc="User that may do everything there.")
    password = attr(filled, doc="Password of the user.", tags=frozenset({"secret"}))

    package: ClassVar[str] = "rabbitmq-server"
    needs: ClassVar[tuple[str, ...]] = (PROGRAM, on_path("epmd"), on_path("flock"))
    look_every_s: ClassVar[float] = 5.0

    @override
    async def on_deploy(self) -> None:
        if self.management == self.port:
            raise wrong(self.path, f"managementPort and port are both {self.port}")
        await super().on_deploy()

    @override
    def port_taken(self) -> tuple[int, ...]:
        return (self.port,) if self.management is None else (self.port, self.management)

    @override
    def files(self) -> Mapping[str, str]:
        lines = {
            "listeners.tcp.1": _joined(self.bind, self.port),
            "distribution.listener.interface": "127.0.0.1",
            "load_definitions": self.folder / "definitions.json",
            "log.console": "true", "log.console.level": "warning", "log.file": "false",
        }  # fmt: skip
        if self.management is not None:
            lines |= {"management.tcp.ip": self.bind, "management.tcp.port": self.management}
        plugins = "[rabbitmq_management]." if self.management is not None else "[]."
        return {
            "rabbitmq.conf": "".join(f"{key} = {value}\n" for key, value in lines.items()),
            "enabled_plugins": f"{plugins}\n",
            "definitions.json": json.dumps(self._definitions()),
        }

    def _definitions(self) -> dict[str, object]:
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        user = {
            "name": self.user, "password_hash": hashed(self.password, secrets.token_bytes(4)),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": ["administrator"] if self.management is not None else [],
        }  # fmt: skip
        return {
            "users": [user],
            "vhosts": [{"name": self.vhost}],
            "permissions": [{"user": self.user, "vhost": self.vhost, **everything}],
        }

    @override
    def programs(self) -> Mapping[str, Description]:
        mapper, distribution = free_ports(2)
        epmd = ["epmd", "-address", "127.0.0.1", "-port", str(mapper)]
        data = self.data_folder
        variables = {
            "HOME": self.folder, "HOSTNAME": "localhost", "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_NODE_IP_ADDRESS": self.bind, "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": distribution, "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": mapper, "RABBITMQ_MNESIA_BASE": data / "mnesia",
            "RABBITMQ_LOG_BASE": self.folder / "log", "RABBITMQ_PID_FILE": self.folder / "pid",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                "+S 1:1 +sbwt none -start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        }  # fmt: skip
        texts = {key: str(value) for key, value in variables.items()}
        return {
            "epmd": process(epmd, {}, self.folder, EPMD_STOP_S),
            "broker": self.program([PROGRAM], texts, STOP_S),
        }

    @override
    async def look(self) -> Look:
        import aio_pika  # noqa: PLC0415 - slow to import, and few daemons have brokers
        from aio_pika.exceptions import AMQPError  # noqa: PLC0415

        logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # what it says is in the look
        try:
            connection = await aio_pika.connect(
                host=self.reach, port=self.port, login=self.user, password=self.password,
                virtualhost=self.vhost, timeout=4,
            )  # fmt: skip
        except (AMQPError, OSError) as error:
            text = f"no log-in at {self.reach}:{self.port}: {str(error) or type(error).__name__}"
            return Look(Answer.SILENT, text)
        await connection.close()
        return Look(Answer.SERVES)


def hashed(password: str, salt: bytes) -> str:
    """Hash a password as RabbitMQ keeps it.

    Example:
        >>> hashed("test12", bytes.fromhex("908DC60A"))
        'kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR'
    """
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
