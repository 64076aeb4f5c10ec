"""The one exception of this package that a user gets to see."""


class LocalError(Exception):
    """Something on this machine stops the run; the message says what, and what to do about it, in one line.

    `exit_code` is 1 for a failure at run time and 2 for options that make no sense.
    """

    def __init__(self, message: str, *, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
