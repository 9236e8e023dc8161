"""What a start is doing, shown to the person who waits."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text


class Progress(Protocol):
    """Receives what each server is doing."""

    def say(self, name: str, message: str) -> None:
        """A server has begun to do something."""

    def count(self, name: str, done: int, total: int) -> None:
        """A download has got so many bytes."""

    def finish(self, name: str, message: str) -> None:
        """A server is ready."""


class Lines:
    """Progress as plain lines, for logs and pipes."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write = write

    def say(self, name: str, message: str) -> None:
        """Write one line."""
        self._write(f"{name}: {message}")

    def count(self, name: str, done: int, total: int) -> None:
        """Write nothing: lines cannot move."""

    def finish(self, name: str, message: str) -> None:
        """Write one line."""
        self.say(name, message)


class _WhileCounting(ProgressColumn):
    """Shows a column only while a download is counted."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> object:  # type: ignore[override]
        """Return the column, or nothing."""
        if not task.fields["counting"]:
            return Text()
        return self._column.render(task)


class Bars:
    """Progress as a line per server with a spinner, a bar and the time."""

    def __init__(self, console: Console) -> None:
        self._bars = RichProgress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.fields[name]:<10}"),
            TextColumn("{task.description}"),
            _WhileCounting(BarColumn(bar_width=24)),
            _WhileCounting(DownloadColumn()),
            TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def say(self, name: str, message: str) -> None:
        """Change the text of a server's line."""
        self._bars.update(
            self._task(name), description=message, counting=False
        )

    def count(self, name: str, done: int, total: int) -> None:
        """Move the bar of a server's line."""
        self._bars.update(
            self._task(name), completed=done, total=total, counting=True
        )

    def finish(self, name: str, message: str) -> None:
        """Stop the spinner and the clock of a server's line."""
        self._bars.update(
            self._task(name),
            description=message,
            completed=1,
            total=1,
            counting=False,
        )

    def _task(self, name: str) -> TaskID:
        if name not in self._tasks:
            self._tasks[name] = self._bars.add_task(
                "", total=None, name=name, counting=False
            )
        return self._tasks[name]


@contextmanager
def shown(console: Console) -> Iterator[Progress]:
    """Show progress as this console can."""
    if not console.is_terminal:
        yield Lines(lambda line: console.print(line, soft_wrap=True))
        return
    with Bars(console) as bars:
        yield bars
