"""The workflows behind the verbs of the command line, without any parsing."""
