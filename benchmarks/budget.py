"""How long a benchmark may take: what no longer fits is left out, and said to be."""

import time


class Budget:
    """Minutes from now on; None for as long as it takes."""

    def __init__(self, minutes: float | None) -> None:
        self._end_s = None if minutes is None else time.monotonic() + minutes * 60
        self.left_out: list[str] = []

    def affords(self, what: str, seconds: float) -> bool:
        """Whether something that takes about so long still fits; if not, it is written down."""
        if self._end_s is None or time.monotonic() + seconds <= self._end_s:
            return True
        self.left_out.append(what)
        return False
