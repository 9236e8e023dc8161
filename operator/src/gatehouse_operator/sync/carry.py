"""Doing what there is to do, as far as it can be done."""

from collections.abc import Awaitable, Callable, Iterable

from gatehouse_operator.errors import KeycloakAway, NotKept, Trouble
from gatehouse_operator.reconcile.actions import Action, named


class Carried:
    """What was done, and what was not.

    `trouble` is the first one that there was.
    """

    def __init__(self) -> None:
        self._tried: set[str] = set()
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
            self._tried.update(action.fields)
            try:
                await do(action)
            except KeycloakAway as trouble:
                self.trouble = trouble
                return
            except Trouble as trouble:
                self.trouble = self.trouble or trouble
            else:
                self._done.append(action)

    def left(self, actions: Iterable[Action]) -> list[Action]:
        """Look at what is still to be done after all was done.

        A field that nobody has tried to set was changed meanwhile, so it is
        to be set now; each can be that once, so there is an end to it. One
        that was set and differs is not kept.

        Returns:
            What to do next.
        """
        if isinstance(self.trouble, KeycloakAway):
            return []
        left = list(actions)
        self._left = set(named(left))
        new = [one for one in left if not self._tried.issuperset(one.fields)]
        if self._left and not new and self.trouble is None:
            what = ", ".join(sorted(self._left))
            self.trouble = NotKept(f"Keycloak does not keep {what}")
        return new
