"""What users have done, over HTTP."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from app.api.http.problems import responses
from app.commands.audit import GetAuditLogCommand, ListAuditLogsCommand
from app.dependencies import UserActionRepoDep
from app.schemas.audit import AuditLogQuery, AuditLogRead
from app.schemas.page import Id, Page

router = APIRouter(prefix="/audit-logs", tags=["audit"])


@router.get("")
async def list_audit_logs(
    query: Annotated[AuditLogQuery, Query()], actions: UserActionRepoDep
) -> Page[AuditLogRead]:
    """List what users have done, the newest first."""
    return await ListAuditLogsCommand(actions).execute(query)


@router.get("/{id}", responses=responses(404))
async def get_audit_log(
    action_id: Annotated[Id, Path(alias="id")], actions: UserActionRepoDep
) -> AuditLogRead:
    """Return one thing that a user has done."""
    return await GetAuditLogCommand(actions).execute(action_id)
