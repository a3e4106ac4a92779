"""Trackers for other projects' toolkits; each module needs its toolkit alone."""
