"""Descriptions that come with the notes."""
