"""The error that is the user's to mend: tools print its one line and leave the stack trace out."""


class UserError(Exception):
    """Bad input from outside: a config, a path, a data file or a weight file.

    The message is one line that names the file, key or index at fault and the remedy.
    """
