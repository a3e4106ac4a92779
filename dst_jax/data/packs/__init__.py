"""Packs hold patches as records: they are cut once, and training only decodes them."""
