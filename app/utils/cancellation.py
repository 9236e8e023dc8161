"""Whether a task was told to end."""

import asyncio


def cancelling() -> int:
    """Return how often the task that runs was told to end; 0 outside of one.

    As `asyncio.Task.cancelling`: one that was passed over is counted, too.
    """
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()
