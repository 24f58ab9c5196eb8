"""Files over HTTP: fetched once and verified, or served."""

from components.web.download import Download
from components.web.server import HttpServer

__all__ = ["Download", "HttpServer"]
