"""Putting all files of a plan in place, or none."""

import shutil
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from app.scaffold.errors import Refused
from app.scaffold.plan import Change

_HELD_BACK: Final = {signal.SIGHUP, signal.SIGINT, signal.SIGTERM}


def write_all(root: Path, changes: Iterable[Change]) -> None:
    """Write every file; a signal that comes meanwhile is heard afterwards.

    Raises:
        Refused: One cannot be written; all are then as they were.
    """
    try:
        with _undisturbed(), ExitStack() as undo:
            drafts = [_draft(root, change, undo) for change in changes]
            for draft, file in drafts:
                undo.callback(_restore, file, _content(file))
                draft.replace(file)
            undo.pop_all()
    except OSError as error:
        name = Path(error.filename or root).name
        raise Refused(f"{name}: {error.strerror}") from None


@contextmanager
def _undisturbed() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _draft(root: Path, change: Change, undo: ExitStack) -> tuple[Path, Path]:
    """Write the text beside the file that it is to become."""
    file = (root / change.path).resolve()
    draft = file.with_name(f".{file.name}.new")
    undo.callback(draft.unlink, missing_ok=True)
    draft.write_bytes(change.text.encode())
    if not change.is_new:
        shutil.copymode(file, draft)
    return draft, file


def _content(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _restore(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink(missing_ok=True)
    else:
        file.write_bytes(content)
