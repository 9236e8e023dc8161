"""What the repository holds, for tests that read it as a text."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def tracked_files() -> list[Path]:
    """Every file that is committed, or would be by `git add --all`."""
    listing = subprocess.run(
        ("git", "ls-files", "-z", "-co", "--exclude-standard"),
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = {ROOT / name for name in listing.split("\0") if name}
    return sorted(path for path in paths if path.is_file())


def markdown_files() -> list[Path]:
    """Every tracked text in Markdown."""
    return [path for path in tracked_files() if path.suffix == ".md"]


def named(path: Path) -> str:
    """The path as a person at the shell would write it."""
    return str(path.relative_to(ROOT))
