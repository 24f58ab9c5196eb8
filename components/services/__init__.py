"""Servers and services of a host as components."""

from components.services.rabbitmq import RabbitMQServer
from components.services.systemd import SystemdUnit
from components.services.zookeeper import ZooKeeperServer

__all__ = ["RabbitMQServer", "SystemdUnit", "ZooKeeperServer"]
