"""What would be left to look for."""


def let_go(error: BaseException) -> None:
    """Keep of an error that was answered nothing but what it says.

    Its traceback holds the functions that it went through, with all that they
    had in hand, and often the error itself: a knot of some hundred objects
    that only a look for garbage would undo.
    """
    errors: list[BaseException | None] = [error]
    while errors:
        known = errors.pop()
        if known is not None:
            errors += known.__cause__, known.__context__
            known.__cause__ = known.__context__ = None
            known.with_traceback(None)
