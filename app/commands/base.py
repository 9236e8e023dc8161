"""What a command is."""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

I = TypeVar("I")  # noqa: E741  (input)
O = TypeVar("O")  # noqa: E741  (output)


class BaseCommand(ABC, Generic[I, O]):
    """One thing the service does, the same over every protocol.

    A command is given its repositories, knows nothing of who calls it, and
    returns schemas, never rows of a table. What goes wrong it raises.
    """

    @abstractmethod
    async def execute(self, input_data: I) -> O:
        """Do it.

        Raises:
            AppError: It cannot be done.
        """
