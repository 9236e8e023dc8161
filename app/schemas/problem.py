"""Errors over HTTP: problem details of RFC 9457."""

from pydantic import BaseModel


class ProblemField(BaseModel):
    """One field that was wrong."""

    loc: list[str | int]
    msg: str
    type: str


class Problem(BaseModel):
    """Why a request was not done.

    `permission` is the one that was missing, in a 403; `errors` names the
    fields that were wrong; `retry_after` is in seconds.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    request_id: str | None = None
    permission: str | None = None
    errors: list[ProblemField] | None = None
    retry_after: int | None = None
