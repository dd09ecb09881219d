import pytest

from edge.murmur2 import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_hash_equals_the_one_of_kafkas_own_tests(key: bytes, value: int) -> None:
    assert murmur2(key) == value


def test_a_negative_hash_gives_a_partition_in_range() -> None:
    assert partition_of(b"foobar", 4) == (-790332482 & 0x7FFFFFFF) % 4
    assert {partition_of(f"zone-{i}".encode(), 7) for i in range(200)} == set(range(7))
