"""Tables that fit a terminal of 80 columns."""

from rich.table import Table


def new_table(title: str, *headings: str) -> Table:
    """Return a table with these columns and no rows."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def short_name(qualified: str) -> str:
    """Keep of a function's name its module's last part and its own."""
    return ".".join(qualified.split(".")[-2:])
