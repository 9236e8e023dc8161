"""Reading what users have done."""

from app.commands.base import BaseCommand
from app.exceptions import AuditLogNotFound
from app.repositories.user_action import UserActionRepository
from app.schemas.audit import AuditLogPage, AuditLogQuery, AuditLogRead


class GetAuditLogCommand(BaseCommand[int, AuditLogRead]):
    """Finds an audit row by id."""

    def __init__(self, actions: UserActionRepository) -> None:
        self.actions = actions

    async def execute(self, input_data: int) -> AuditLogRead:
        """Find the row.

        Raises:
            AuditLogNotFound: There is none.
        """
        action = await self.actions.find(input_data)
        if action is None:
            raise AuditLogNotFound(input_data)
        return AuditLogRead.model_validate(action)


class ListAuditLogsCommand(BaseCommand[AuditLogQuery, AuditLogPage]):
    """Lists audit rows by page number, the newest first."""

    def __init__(self, actions: UserActionRepository) -> None:
        self.actions = actions

    async def execute(self, input_data: AuditLogQuery) -> AuditLogPage:
        """List the rows."""
        actions, meta = await self.actions.paginate(
            input_data.page,
            input_data.per_page,
            input_data.model_dump(exclude={"page", "per_page"}),
        )
        return AuditLogPage.of(actions, meta)
