"""Telling a user about himself."""

from app.commands.base import BaseCommand
from app.managers.rbac_manager import RBACManager
from app.schemas.me import MeRead
from app.schemas.user import UserModel


class DescribeUserCommand(BaseCommand[UserModel, MeRead]):
    """Says who a user is and what the role map in force permits him."""

    def __init__(self, rbac: RBACManager) -> None:
        self.rbac = rbac

    async def execute(self, input_data: UserModel) -> MeRead:
        """Describe this user."""
        return MeRead(
            id=input_data.id,
            username=input_data.username,
            roles=sorted(input_data.roles),
            permissions=self.rbac.permissions_of(input_data),
            expires_at=input_data.expires_at,
        )
