"""Books over the socket."""

from app.api.ws.constants import PkgID
from app.commands.book import (
    CreateBookCommand,
    DeleteBookCommand,
    ListBooksCommand,
    UpdateBookCommand,
)
from app.repositories.book import BookRepository
from app.routing import Context, PackageRouter, Reply
from app.schemas.book import (
    BookInput,
    BookRead,
    BookRow,
    BookUpdate,
    GetBooks,
)
from app.schemas.me import Nothing
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.page import ById, CursorMetadata
from app.schemas.push import Change

pkg_router = PackageRouter()
pkg_router.push(
    PkgID.BOOKS_CHANGED, read=PkgID.GET_BOOKS, data=Change[BookRow]
)


@pkg_router.register(
    PkgID.GET_BOOKS,
    json_schema=GetBooks,
    reply=Reply(list[BookRead], CursorMetadata),
)
async def get_books(
    request: RequestModel[GetBooks], context: Context
) -> ResponseModel:
    """List books, from the first or after a cursor."""
    command = ListBooksCommand(BookRepository(context.session))
    page = await command.execute(request.data)
    return ResponseModel.success(
        request.pkg_id, request.req_id, page.data, page.meta
    )


@pkg_router.register(
    PkgID.CREATE_BOOK,
    json_schema=BookInput,
    writes=True,
    reply=Reply(BookRead),
)
async def create_book(
    request: RequestModel[BookInput], context: Context
) -> ResponseModel:
    """Create a book."""
    command = CreateBookCommand(BookRepository(context.session))
    book = await command.execute(request.data)
    return ResponseModel.success(request.pkg_id, request.req_id, book)


@pkg_router.register(
    PkgID.UPDATE_BOOK,
    json_schema=BookUpdate,
    writes=True,
    reply=Reply(BookRead),
)
async def update_book(
    request: RequestModel[BookUpdate], context: Context
) -> ResponseModel:
    """Change all of a book."""
    command = UpdateBookCommand(BookRepository(context.session))
    book = await command.execute(request.data)
    return ResponseModel.success(request.pkg_id, request.req_id, book)


@pkg_router.register(
    PkgID.DELETE_BOOK, json_schema=ById, writes=True, reply=Reply(Nothing)
)
async def delete_book(
    request: RequestModel[ById], context: Context
) -> ResponseModel:
    """Delete a book."""
    command = DeleteBookCommand(BookRepository(context.session))
    await command.execute(request.data.id)
    return ResponseModel.success(request.pkg_id, request.req_id, {})
