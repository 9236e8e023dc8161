"""Doing what there is to do, as far as it can be done."""

from collections.abc import Awaitable, Callable, Iterable

from gatehouse_operator.errors import KeycloakAway, NotKept, Trouble
from gatehouse_operator.reconcile.actions import Action, named


class Carried:
    """What was done, and what was not.

    `trouble` is the first one that there was.
    """

    def __init__(self) -> None:
        self._done: list[Action] = []
        self._left: set[str] = set()
        self.trouble: Trouble | None = None

    @property
    def changed(self) -> tuple[str, ...]:
        """The fields of the spec that were put right."""
        return tuple(f for f in named(self._done) if f not in self._left)

    async def out(
        self,
        actions: Iterable[Action],
        do: Callable[[Action], Awaitable[None]],
    ) -> None:
        """Do one thing after another; one that is refused holds none up.

        Args:
            actions: What to do.
            do: Does it.
        """
        for action in actions:
            try:
                await do(action)
            except KeycloakAway as trouble:
                self.trouble = trouble
                return
            except Trouble as trouble:
                self.trouble = self.trouble or trouble
            else:
                self._done.append(action)

    def compare(self, left: Iterable[Action]) -> None:
        """Look at what is left to do after all was done."""
        fields = named(left)
        self._left.update(fields)
        if fields and self.trouble is None:
            what = ", ".join(fields)
            self.trouble = NotKept(f"Keycloak does not keep {what}")
