"""Something to look at: authors and books that nobody has written."""

from typing import Final

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Author, Book

FIRST_NAMES: Final = (
    "Ada",
    "Bruno",
    "Chidi",
    "Dolores",
    "Emil",
    "Farah",
    "Goran",
    "Hana",
    "Ivo",
    "Joan",
)
LAST_NAMES: Final = ("Amadi", "Berg", "Castellanos", "Okafor", "Tanaka")
SUBJECTS: Final = (
    "Cartographer",
    "Orchard",
    "Lighthouse",
    "Archive",
    "River",
    "Clockmaker",
    "Salt Road",
    "Observatory",
    "Ferryman",
    "Winter Garden",
)
TITLES: Final = ("The {}", "A Short History of the {}", "Beyond the {}")
ENDINGS: Final = ("", ", Volume Two", ": Letters", " Revisited", " at Night")
BOOKS_PER_AUTHOR: Final = 4


async def seed(session: AsyncSession) -> tuple[int, int]:
    """Store 50 authors and 200 books, unless there are authors already.

    Returns:
        How many authors and how many books were stored.
    """
    if await session.scalar(select(Author).limit(1)):
        return 0, 0
    authors = await session.scalars(
        insert(Author).returning(Author), [{"name": n} for n in names()]
    )
    ids = [author.id for author in authors]
    books = [
        {"title": title, "author_id": ids[number // BOOKS_PER_AUTHOR]}
        for number, title in enumerate(titles(len(ids) * BOOKS_PER_AUTHOR))
    ]
    await session.execute(insert(Book), books)
    return len(ids), len(books)


def names() -> list[str]:
    """Return the names of all authors."""
    return [f"{first} {last}" for last in LAST_NAMES for first in FIRST_NAMES]


def titles(count: int) -> list[str]:
    """Return so many titles; two that are the same are far apart."""
    patterns = [title + ending for ending in ENDINGS for title in TITLES]
    every = [p.format(subject) for p in patterns for subject in SUBJECTS]
    return [every[number % len(every)] for number in range(count)]
