"""What users get wrong, and what can fail while a run is under way."""


class UserError(Exception):
    """Something the user wrote cannot be used; the message says what, where, and what is accepted.

    The command line prints it as one line and exits with 2.
    """


class RunFailedError(Exception):
    """A run cannot go on (no client replied, say); the message gives the reason.

    The command line prints it as one line and exits with 1.
    """


class InterruptedRunError(RunFailedError):
    """The user interrupted the work (Ctrl-C); the message says how to go on.

    The command line prints it as one line and exits with 130.
    """


class DamagedError(UserError):
    """A file that fedlab wrote has been changed or cut off; the message says which, and what is wrong with it.

    The command line prints it as one line and exits with 1: the command was right, the file is not.
    """
