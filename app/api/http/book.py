"""Books over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api.http.problems import responses
from app.commands.book import (
    CreateBookCommand,
    DeleteBookCommand,
    GetBookCommand,
    ListAuthorBooksCommand,
    ListBooksCommand,
    UpdateBookCommand,
)
from app.dependencies import AuthorRepoDep, BookRepoDep
from app.schemas.book import (
    BookCursorQuery,
    BookInput,
    BookPartialUpdate,
    BookPatch,
    BookRead,
    BookUpdate,
    GetAuthorBooks,
)
from app.schemas.page import CursorPage, CursorQuery, Id

router = APIRouter(tags=["books"])


@router.get("/books")
async def list_books(
    query: Annotated[BookCursorQuery, Query()], books: BookRepoDep
) -> CursorPage[BookRead]:
    """List books, from the first or after a cursor."""
    return await ListBooksCommand(books).execute(query.to_request())


@router.post("/books", status_code=HTTPStatus.CREATED)
async def create_book(
    data: BookInput, books: BookRepoDep, request: Request, response: Response
) -> BookRead:
    """Create a book."""
    book = await CreateBookCommand(books).execute(data)
    location = request.url_for("get_book", id=book.id)
    response.headers["Location"] = location.path
    return book


@router.get("/books/{id}", responses=responses(404))
async def get_book(
    book_id: Annotated[Id, Path(alias="id")], books: BookRepoDep
) -> BookRead:
    """Return one book."""
    return await GetBookCommand(books).execute(book_id)


@router.put("/books/{id}", responses=responses(404))
async def replace_book(
    book_id: Annotated[Id, Path(alias="id")],
    data: BookInput,
    books: BookRepoDep,
) -> BookRead:
    """Change all of a book."""
    update = BookUpdate(id=book_id, **data.model_dump())
    return await UpdateBookCommand(books).execute(update)


@router.patch("/books/{id}", responses=responses(404))
async def patch_book(
    book_id: Annotated[Id, Path(alias="id")],
    data: BookPatch,
    books: BookRepoDep,
) -> BookRead:
    """Change the given fields of a book."""
    changes = data.model_dump(exclude_unset=True)
    update = BookPartialUpdate(id=book_id, **changes)
    return await UpdateBookCommand(books).execute(update)


@router.delete(
    "/books/{id}",
    status_code=HTTPStatus.NO_CONTENT,
    responses=responses(404),
)
async def delete_book(
    book_id: Annotated[Id, Path(alias="id")], books: BookRepoDep
) -> None:
    """Delete a book."""
    await DeleteBookCommand(books).execute(book_id)


@router.get("/authors/{id}/books", responses=responses(404))
async def list_author_books(
    author_id: Annotated[Id, Path(alias="id")],
    query: Annotated[CursorQuery, Query()],
    authors: AuthorRepoDep,
    books: BookRepoDep,
) -> CursorPage[BookRead]:
    """List the books of one author."""
    question = GetAuthorBooks(author_id=author_id, **query.model_dump())
    return await ListAuthorBooksCommand(authors, books).execute(question)
