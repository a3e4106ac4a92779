"""The one exception for what a user can mend."""


class InputError(ValueError):
    """Bad input: a file, a field or a value that the user can put right.

    The message is one line that names the thing, its value and the mend. The
    command line prints it and exits with 2; any other exception is our own fault.
    """
