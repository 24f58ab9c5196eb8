"""Images that volumes are filled from."""

from components.images.base_image import BaseImage
from components.images.kinds import ImageFacts

__all__ = ["BaseImage", "ImageFacts"]
