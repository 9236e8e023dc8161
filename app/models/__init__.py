"""The tables; importing any of them maps all, as relationships need."""

from app.models.author import Author
from app.models.base import BaseModel
from app.models.book import Book
from app.models.outbox import OutboxEvent
from app.models.remembered_answer import RememberedAnswer
from app.models.user_action import UserAction

__all__ = [
    "Author",
    "BaseModel",
    "Book",
    "OutboxEvent",
    "RememberedAnswer",
    "UserAction",
]
