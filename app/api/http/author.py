"""Authors over HTTP."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from app.api.http.problems import responses
from app.commands.author import (
    CreateAuthorCommand,
    DeleteAuthorCommand,
    GetAuthorCommand,
    ListAuthorsCommand,
    PaginateAuthorsCommand,
    UpdateAuthorCommand,
)
from app.dependencies import AuthorRepoDep
from app.schemas.author import (
    AuthorCursorQuery,
    AuthorInput,
    AuthorPageQuery,
    AuthorPartialUpdate,
    AuthorPatch,
    AuthorRead,
    AuthorUpdate,
)
from app.schemas.page import CursorPage, Id, Page

router = APIRouter(prefix="/authors", tags=["authors"])


@router.get("")
async def list_authors(
    query: Annotated[AuthorCursorQuery, Query()], authors: AuthorRepoDep
) -> CursorPage[AuthorRead]:
    """List authors, from the first or after a cursor."""
    return await ListAuthorsCommand(authors).execute(query.to_request())


@router.post("", status_code=HTTPStatus.CREATED, responses=responses(409))
async def create_author(
    data: AuthorInput,
    authors: AuthorRepoDep,
    request: Request,
    response: Response,
) -> AuthorRead:
    """Create an author."""
    author = await CreateAuthorCommand(authors).execute(data)
    location = request.url_for("get_author", id=author.id)
    response.headers["Location"] = location.path
    return author


@router.get("/paginated")
async def paginate_authors(
    query: Annotated[AuthorPageQuery, Query()], authors: AuthorRepoDep
) -> Page[AuthorRead]:
    """List authors by page number."""
    return await PaginateAuthorsCommand(authors).execute(query.to_request())


@router.get("/{id}", responses=responses(404))
async def get_author(
    author_id: Annotated[Id, Path(alias="id")], authors: AuthorRepoDep
) -> AuthorRead:
    """Return one author."""
    return await GetAuthorCommand(authors).execute(author_id)


@router.put("/{id}", responses=responses(404, 409))
async def replace_author(
    author_id: Annotated[Id, Path(alias="id")],
    data: AuthorInput,
    authors: AuthorRepoDep,
) -> AuthorRead:
    """Change all of an author."""
    update = AuthorUpdate(id=author_id, **data.model_dump())
    return await UpdateAuthorCommand(authors).execute(update)


@router.patch("/{id}", responses=responses(404, 409))
async def patch_author(
    author_id: Annotated[Id, Path(alias="id")],
    data: AuthorPatch,
    authors: AuthorRepoDep,
) -> AuthorRead:
    """Change the given fields of an author."""
    changes = data.model_dump(exclude_unset=True)
    update = AuthorPartialUpdate(id=author_id, **changes)
    return await UpdateAuthorCommand(authors).execute(update)


@router.delete(
    "/{id}",
    status_code=HTTPStatus.NO_CONTENT,
    responses=responses(404, 409),
)
async def delete_author(
    author_id: Annotated[Id, Path(alias="id")], authors: AuthorRepoDep
) -> None:
    """Delete an author who has no books."""
    await DeleteAuthorCommand(authors).execute(author_id)
