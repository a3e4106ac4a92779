"""The command line: its verbs and options, overrides of fields, and what it prints."""
