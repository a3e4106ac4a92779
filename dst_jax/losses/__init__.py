"""Losses: elementwise, pure, usable alone. See docs/equations.md."""
