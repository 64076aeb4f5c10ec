"""Another revision's own benchmark in turns with the present one, figure by figure. Never measures by itself."""


class CompareError(Exception):
    """A comparison cannot be made; the message says why, and what to do about it."""
