"""What one owner has on `usage.windows`: which of its records still says something that no later one does.

Compaction keeps the last record of each key. So a key is used again, for other rows, once all rows of its record stand
in later records that are acknowledged; until then it is left alone. A record of which little is news any more is
emptied: what is left of it is sent once more, with others of that kind. So those with open windows hold at most some
four times as many rows as there are partials, however often each of them changes.

What a crash leaves behind stays, as do all keys of an owner before: the next one begins with keys of its own, and a
reader takes the row with the highest version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from processors.homes import Homes
from processors.outputs import table_blocks
from processors.row_records import Record, packed
from processors.window_rows import ENCODE, Block, WindowRows
from processors.windows import Ints

if TYPE_CHECKING:
    from processors.meter import PartitionState

_THIN: Final = 4  # a record is thin once fewer than one of so many of its rows are news
_WORTH_A_LOOK: Final = 4  # thin records are emptied once they hold more rows than one of so many open partials


class _Held:
    """A record by its number: `news` of its rows are in no later one."""

    __slots__ = ("news", "partition", "rows")

    def __init__(self, partition: int, rows: int) -> None:
        self.partition, self.rows, self.news = partition, rows, rows


class Sent:
    """The records of one owner of one partition of events."""

    def __init__(self, topic_id: str, partition: int, homes: Homes) -> None:
        self._place, self._homes = (topic_id, partition), homes
        self._numbers = 0
        self._held: dict[int, _Held] = {}  # that a table's row may be in
        self._thin: set[int] = set()
        self._superseded: list[tuple[int, int, int]] = []  # due once acknowledged through, partition, number
        self._free: dict[int, list[int]] = {}  # by partition: numbers whose records say nothing any more

    def records(self, state: PartitionState, rows: WindowRows, token: bytes) -> list[Record]:
        """The records that say these rows. They must leave: what they supersede counts on it, from here on."""
        made: list[Record] = []
        for block in rows.blocks:
            if block.at is None:
                made += [Record(self._homes[who], key, value) for who, key, value in block.messages(token)]
            else:
                made += self._pack(state, block, token)
        held = sum(self._held[number].rows for number in self._thin)
        if held * _WORTH_A_LOOK > sum(map(len, state.tables.values())):
            thin, self._thin = self._thin, set()
            for block in self._rest_of(thin, state):
                made += self._pack(state, block, token)
            for number in thin:  # what is left are rows of closed windows: it stays for good
                self._held.pop(number, None)
        return made

    def acknowledged(self, through: int) -> None:
        """Every record made at or below this offset is durable."""
        for due, partition, number in self._superseded:
            if due <= through:
                self._free.setdefault(partition, []).append(number)
        self._superseded = [one for one in self._superseded if one[0] > through]

    def forget_closed(self, state: PartitionState) -> None:
        """Records of which no row is open any more stay as they are."""
        open_ = {number for table in state.tables.values() for number in np.unique(table.sent[: len(table)]).tolist()}
        self._held = {number: held for number, held in self._held.items() if number in open_}
        self._thin &= open_

    def _pack(self, state: PartitionState, block: Block, token: bytes) -> list[Record]:
        table, made = state.tables[block.meter], []
        assert block.at is not None
        self._supersede(table.sent[block.at], state.offset)
        for partition, rows, value in packed(block, self._homes):
            free = self._free.get(partition)
            if free:
                number = free.pop()
            else:
                number, self._numbers = self._numbers, self._numbers + 1
            table.sent[block.at[rows]] = number
            self._held[number] = _Held(partition, len(rows))
            # The token: compaction keeps the last record of a key, and a stale owner's must not displace ours.
            made.append(Record(partition, ENCODE((*self._place, number)) + token, value))
        return made

    def _supersede(self, before: Ints, offset: int) -> None:
        """Rows that are about to be sent anew stood in these records."""
        numbers, counts = np.unique(before, return_counts=True)
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            held = self._held.get(number)  # None: never sent by us
            if held is None:
                continue
            held.news -= count
            if not held.news:
                del self._held[number]
                self._thin.discard(number)
                self._superseded.append((offset, held.partition, number))
            elif held.news * _THIN < held.rows:
                self._thin.add(number)

    def _rest_of(self, thin: set[int], state: PartitionState) -> list[Block]:
        """The open rows that these records still have to themselves."""
        numbers, blocks = np.array(sorted(thin)), list[Block]()
        for key, table in state.tables.items():
            at = np.flatnonzero(np.isin(table.sent[: len(table)], numbers))
            if len(at):
                blocks += table_blocks(state.catalogue, key, table, at, None, *self._place)
        return blocks
