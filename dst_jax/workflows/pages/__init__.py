"""Gathers what a page shows, and writes it with its CSV, LaTeX and JSON beside."""
