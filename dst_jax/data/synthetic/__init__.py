"""Synthetic video with exact boxes: textures, sprites, scenes, whole data sets."""
