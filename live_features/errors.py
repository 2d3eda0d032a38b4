"""The one error a person is meant to read."""


class UserFacingError(Exception):
    """Something outside the program is wrong; the message is one sentence naming it and the remedy.

    Entry points print the message, without a traceback, and exit with a non-zero status.
    """
