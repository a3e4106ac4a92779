"""Packaged experiments; each module defines `experiment() -> Experiment`."""
