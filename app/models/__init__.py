"""The tables; importing any of them maps all, as relationships need."""

from app.models.author import Author
from app.models.base import BaseModel
from app.models.book import Book

__all__ = ["Author", "BaseModel", "Book"]
