"""The errors that end a tool without a stack trace: one is the user's to mend, the other is his wish."""

from maskrcnn_benchmark.utils.text import printable


class UserError(Exception):
    """Bad input from outside: a config, a path, a data file or a weight file.

    The message is one line that names the file, key or index at fault and the remedy.
    """


class LostProcess(UserError):
    """Another process of this run has ended, so that this one cannot go on; the other says why."""


class Interrupted(Exception):
    """A run that was asked to stop and did so in good order. The message says how to resume it."""


def line_of(error: object) -> str:
    """What an error or a text says, on one line and for a terminal.

    PyTorch puts a worker process's whole stack trace before the message, which is left out.
    """
    text = str(error)
    if text.startswith(f"Caught {type(error).__name__} "):
        text = text.rsplit(f"{type(error).__name__}: ", 1)[-1]
    return printable(" ".join(text.split()), len(text))
