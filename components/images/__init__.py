"""Images that volumes are filled from."""

from components.images.base_image import BaseImage, ImageFacts

__all__ = ["BaseImage", "ImageFacts"]
