"""Images that volumes are filled from: found, made, kept by content, and passed from host to host."""

from components.images.base_image import BaseImage
from components.images.debian_image import DebianImage
from components.images.image_store import ImageStore
from components.images.kinds import ImageFacts
from components.images.tar_image import TarImage

__all__ = ["BaseImage", "DebianImage", "ImageFacts", "ImageStore", "TarImage"]
