"""Distilled Siamese trackers: compress a large visual tracker into small, fast ones."""

__version__ = "0.1.0.dev0"
