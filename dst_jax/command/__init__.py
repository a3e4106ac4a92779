"""The command line: what verbs take, how fields are overridden, what is printed."""
