"""Backbones as values: what embeds an image, and the maps that it offers."""
