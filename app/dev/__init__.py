"""Real servers for development and tests, started by `python -m app dev`."""
