"""The forms that events go to Kafka in: what one line becomes in each, alone and together with others."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

from edge.batches import Batches
from edge.lines import joinable, json_array, msgpack_array, to_msgpack

Format = Literal["json", "msgpack", "columnar"]

_BATCH_OF: dict[Format, int] = {"json": 1, "msgpack": 1, "columnar": 5_000}  # events of a message, unless told
_BATCH_BYTES_MAX = 512_000  # lines of one batch message; half of what a broker takes, room for MessagePack
_COLUMNAR_LINES_BYTES_MAX = 2_000_000  # columns take a third of it; where they do not, the message is cut
_COLUMNAR_BYTES_MAX = 1_000_000  # of a columnar message: what broker and processors take by default
_COLUMNAR_AGE_S = 1.0  # an event waits no longer for others, as long as lines come


class Item(NamedTuple):
    """`value`: the message of this line alone; `part`: what a batch takes of it, None where it must go alone."""

    value: bytes
    part: Any


class Form(NamedTuple):
    """`item` of (line, whether it is one JSON object)."""

    item: Callable[[bytes, bool], Item]
    batches: Batches[Any]


def form_of(format: Format, batch: int | None, message_bytes_max: int) -> Form:
    """Empty batches of up to `batch` events, and what goes into them."""
    count = _BATCH_OF[format] if batch is None else batch
    if format == "columnar":
        from edge import columnar  # Arrow takes a while to import, and the other forms do without

        bytes_max = min(_COLUMNAR_BYTES_MAX, message_bytes_max)

        def columns(line: bytes, whole: bool) -> Item:
            return Item(line, columnar.to_columns(line) if whole and count > 1 else None)

        def messages(events: Sequence[columnar.Event]) -> Iterable[bytes]:
            return columnar.messages(events, bytes_max)

        lines_max = min(_COLUMNAR_LINES_BYTES_MAX, 2 * message_bytes_max)
        return Form(columns, Batches(messages, count, lines_max, _COLUMNAR_AGE_S))
    bytes_max = min(_BATCH_BYTES_MAX, message_bytes_max // 2)
    if format == "msgpack":
        return Form(_packed, Batches(lambda values: [msgpack_array(values)], count, bytes_max))
    return Form(_as_it_is, Batches(lambda values: [json_array(values)], count, bytes_max))


def _as_it_is(line: bytes, whole: bool) -> Item:
    return Item(line, line if whole and joinable(line) else None)


def _packed(line: bytes, whole: bool) -> Item:
    value = to_msgpack(line) if whole else None
    return Item(line, None) if value is None else Item(value, value if joinable(line) else None)
