"""Authors over the socket."""

from app.api.ws.constants import PkgID
from app.commands.author import (
    CreateAuthorCommand,
    DeleteAuthorCommand,
    ListAuthorsCommand,
    PaginateAuthorsCommand,
    UpdateAuthorCommand,
)
from app.repositories.author import AuthorRepository
from app.routing import Context, PackageRouter, Reply
from app.schemas.author import (
    AuthorInput,
    AuthorRead,
    AuthorUpdate,
    GetAuthors,
    GetPaginatedAuthors,
)
from app.schemas.me import Nothing
from app.schemas.message import RequestModel, ResponseModel
from app.schemas.page import ById, CursorMetadata, MetadataModel
from app.schemas.push import Change

pkg_router = PackageRouter()
pkg_router.push(
    PkgID.AUTHORS_CHANGED, read=PkgID.GET_AUTHORS, data=Change[AuthorRead]
)


@pkg_router.register(
    PkgID.GET_AUTHORS,
    json_schema=GetAuthors,
    reply=Reply(list[AuthorRead], CursorMetadata),
)
async def get_authors(
    request: RequestModel[GetAuthors], context: Context
) -> ResponseModel:
    """List authors, from the first or after a cursor."""
    command = ListAuthorsCommand(AuthorRepository(context.session))
    page = await command.execute(request.data)
    return ResponseModel.success(
        request.pkg_id, request.req_id, page.data, page.meta
    )


@pkg_router.register(
    PkgID.GET_PAGINATED_AUTHORS,
    json_schema=GetPaginatedAuthors,
    reply=Reply(list[AuthorRead], MetadataModel),
)
async def get_paginated_authors(
    request: RequestModel[GetPaginatedAuthors], context: Context
) -> ResponseModel:
    """List authors by page number."""
    command = PaginateAuthorsCommand(AuthorRepository(context.session))
    page = await command.execute(request.data)
    return ResponseModel.success(
        request.pkg_id, request.req_id, page.data, page.meta
    )


@pkg_router.register(
    PkgID.CREATE_AUTHOR,
    json_schema=AuthorInput,
    writes=True,
    reply=Reply(AuthorRead),
)
async def create_author(
    request: RequestModel[AuthorInput], context: Context
) -> ResponseModel:
    """Create an author."""
    command = CreateAuthorCommand(AuthorRepository(context.session))
    author = await command.execute(request.data)
    return ResponseModel.success(request.pkg_id, request.req_id, author)


@pkg_router.register(
    PkgID.UPDATE_AUTHOR,
    json_schema=AuthorUpdate,
    writes=True,
    reply=Reply(AuthorRead),
)
async def update_author(
    request: RequestModel[AuthorUpdate], context: Context
) -> ResponseModel:
    """Change all of an author."""
    command = UpdateAuthorCommand(AuthorRepository(context.session))
    author = await command.execute(request.data)
    return ResponseModel.success(request.pkg_id, request.req_id, author)


@pkg_router.register(
    PkgID.DELETE_AUTHOR, json_schema=ById, writes=True, reply=Reply(Nothing)
)
async def delete_author(
    request: RequestModel[ById], context: Context
) -> ResponseModel:
    """Delete an author who has no books."""
    command = DeleteAuthorCommand(AuthorRepository(context.session))
    await command.execute(request.data.id)
    return ResponseModel.success(request.pkg_id, request.req_id, {})
