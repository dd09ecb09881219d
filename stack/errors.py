"""What can go wrong with the stack. Every message says what to do next."""


class StackError(Exception):
    """The stack can't do what was asked; the message says why and what to do."""


class Unavailable(StackError):  # noqa: N818 - said as it is, like the next two
    """A program that this service needs is not on this machine, and `reason` names it and how to get it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InUse(StackError):  # noqa: N818
    """A port or a state directory belongs to somebody else right now."""


class Ended(StackError):  # noqa: N818
    """A service, or whoever watched over the services, is no longer there."""
