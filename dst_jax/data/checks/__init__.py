"""Checks find what is wrong with a data set and what training leaves out of it."""
