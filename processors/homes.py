"""Which partition of `usage.windows` an account's rows go to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.murmur2 import partition_of
from processors.windows import Ints

_ACCOUNTS_MAX = 1_000_000  # whose partition is remembered: about 150 MB


class Homes(dict[str, int]):
    """The partition of each account, as far as it was asked for."""

    def __init__(self, partitions: int) -> None:
        super().__init__()
        self._partitions = partitions

    def __missing__(self, account: str) -> int:
        if len(self) > _ACCOUNTS_MAX:
            self.clear()
        home = self[account] = partition_of(account.encode(), self._partitions)
        return home

    def of(self, accounts: Sequence[str]) -> Ints:
        """int64[n]: the partition of each account."""
        return np.fromiter(map(self.__getitem__, accounts), np.int64, len(accounts))
