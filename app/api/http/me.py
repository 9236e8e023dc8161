"""The signed-in user about himself."""

from fastapi import APIRouter

from app.commands.me import DescribeUserCommand
from app.dependencies import ContainerDep, CurrentUser
from app.schemas.me import MeRead

router = APIRouter(tags=["me"])


@router.get("/me")
async def get_me(user: CurrentUser, container: ContainerDep) -> MeRead:
    """Tell who I am, what I may do, and until when my token is good."""
    return await DescribeUserCommand(container.rbac).execute(user)
