"""What ends a start."""

from app.settings import ConfigurationError


class StartFailed(ConfigurationError):
    """The start cannot go on; the message is one line that says what to do."""
