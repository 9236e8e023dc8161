"""The report: a table for a terminal, a file of JSON, a page of docs."""

from pathlib import Path
from typing import Final

from rich.table import Table

from app.bench.rows import Row
from app.bench.suite import Report

BEGIN: Final = "<!-- results: make bench -->\n"
END: Final = "<!-- end of results -->\n"
_HEADINGS: Final = ("Row", "Measured", "Must", "Aim", "Met", "Note")
_DISTURBED: Final = "**disturbed**:"
_SAYS: Final = {True: "yes", False: "**no**", None: ""}


def cells(row: Row) -> tuple[str, ...]:
    """Return a row's cells as text."""
    sign = ">=" if row.rises else "<="
    bounds = (
        f"{sign} {bound:g}" if bound is not None else ""
        for bound in (row.must, row.aim)
    )
    value = f"{row.value:.3g} {row.unit}"
    note = f"{_DISTURBED} {row.note}" if row.disturbed else row.note
    return (row.name, value, *bounds, _SAYS[row.is_met], note)


def table(report: Report) -> Table:
    """Return the report for a terminal."""
    table = Table(title="Gatehouse bench", title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for row in report.rows:
        name, value, must, aim, met, note = cells(row)
        colour = {"yes": "green", "**no**": "red"}.get(met, "default")
        met = f"[{colour}]{met.strip('*')}[/]"
        table.add_row(name, value, must, aim, met, note.replace("**", ""))
    table.caption = "\n".join(_facts(report))
    return table


def page(report: Report) -> str:
    """Return the report as lines of Markdown."""
    lines = [_line(_HEADINGS), "|---" * len(_HEADINGS) + "|"]
    lines += [_line(cells(row)) for row in report.rows]
    return "\n".join([*lines, "", *(f"- {fact}" for fact in _facts(report))])


def write_page(report: Report, path: Path) -> None:
    """Put the report in the place of the one that a page has.

    Raises:
        ValueError: The page has no place for it.
    """
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} has no results to replace")
    text = f"{before}{begin}\n{page(report)}\n\n{end}{after}"
    path.write_text(text, encoding="utf-8")


def _line(values: tuple[str, ...]) -> str:
    return f"| {' | '.join(values)} |"


def _facts(report: Report) -> list[str]:
    versions = ", ".join(f"{n} {v}" for n, v in report.versions.items())
    facts = [report.machine, versions, f"{report.at}: {report.runs}"]
    if any(row.disturbed for row in report.rows):
        facts.append(
            "other programs had a part in the rows that say disturbed, and "
            "some in all others: measure again on a quiet machine"
        )
    return facts
