"""Why nothing was made."""


class Refused(Exception):
    """What was asked for cannot be made; the message is one line."""
