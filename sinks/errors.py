"""The error of a sink that is the world's fault, not ours."""


class Retryable(Exception):  # noqa: N818  (named for what the caller does with it)
    """The service did not acknowledge, and the same call may succeed later: pause, then repeat it.

    Repeating is always safe: rows are absolute and versioned. Whatever else a sink raises, no retry mends.
    """

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms
