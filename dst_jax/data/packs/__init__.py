"""Patches cut once and stored as records, so that training only decodes them."""
