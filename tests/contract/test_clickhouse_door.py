"""What this project needs of ClickHouse's HTTP interface: over the door, or over the server that
TOLLSTREAM_CLICKHOUSE__URL names (with __USER and __PASSWORD)."""

from __future__ import annotations

import gzip
import json
import os
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import lz4.frame
import pyarrow as pa
import pytest
import requests
import zstandard
from clickhouse_connect.driver.exceptions import DatabaseError
from clickhouse_connect.driver.external import ExternalData

from tests.contract.door_process import PASSWORD, USER, a_server, connect

DATABASE = f"door_{uuid.uuid4().hex[:8]}"
AUTH = (USER, PASSWORD)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with a_server(tmp_path_factory.mktemp("door") / "data") as address:
        yield address


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[Any]:
    made = connect(url)
    made.command(f"CREATE DATABASE {DATABASE} ENGINE = Atomic")
    yield made
    made.command(f"DROP DATABASE {DATABASE}")


@pytest.fixture
def table(client: Any) -> str:
    name = f"{DATABASE}.t{uuid.uuid4().hex[:8]}"
    client.command(f"CREATE TABLE {name} (a UInt64, b String) ENGINE = MergeTree ORDER BY a")
    return name


def rows(client: Any, table: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in client.query(f"SELECT * FROM {table} ORDER BY ALL").result_rows]


def test_every_type_of_ours_comes_back_as_it_went_in(client: Any) -> None:
    columns: dict[str, Any] = {
        "UInt64": 2**64 - 1,
        "UInt128": 2**128 - 1,
        "Int64": -(2**63),
        "Decimal(38, 12)": Decimal("-99999999999999999999999999.999999999999"),
        "Decimal256(12)": Decimal("9" * 64 + ".123456789012"),
        "String": "déjà 'vu'\n\t\\",
        "LowCardinality(String)": "api",
        "Nullable(Decimal256(3))": None,
        "Map(String, String)": {"zone": "a'b", "": "empty key"},
        "Array(UInt128)": [0, 2**127],
        "Array(Tuple(String, Int32))": [("a", 1), ("b", -1)],
        "Date": date(2026, 11, 23),
        "DateTime64(6, 'UTC')": datetime(2026, 11, 23, 5, 7, 9, 123456, tzinfo=UTC),
        "UUID": uuid.UUID(int=2**127 + 7),
        "Bool": True,
        "FixedString(3)": b"abc",
    }
    name = f"{DATABASE}.types"
    fields = ", ".join(f"c{number} {kind}" for number, kind in enumerate(columns))
    client.command(f"CREATE TABLE {name} ({fields}) ENGINE = MergeTree ORDER BY c0")
    client.insert(name, [list(columns.values())])
    seen = rows(client, name)[0]
    columns["DateTime64(6, 'UTC')"] = datetime(2026, 11, 23, 5, 7, 9, 123456)  # the client reads UTC as naive
    assert seen == tuple(columns.values())


@pytest.mark.parametrize(
    "name",
    [
        "Native",
        "ArrowStream",
        "Arrow",
        "Parquet",
        "CSV",
        "TSV",
        "JSONEachRow",
        "RowBinary",
        "RowBinaryWithNamesAndTypes",
    ],
)
def test_a_format_that_goes_out_comes_back_in(client: Any, table: str, name: str) -> None:
    data = client.raw_query(
        "SELECT number AS a, concat('x', toString(number), '\\n,\"') AS b FROM numbers(1000)", fmt=name
    )
    assert client.raw_insert(table, ["a", "b"], data, fmt=name).written_rows == 1000
    assert client.query(f"SELECT sum(a), countIf(b = concat('x', toString(a), '\\n,\"')) FROM {table}").first_row == (
        499500,
        1000,
    )


def test_arrow_tables_go_in_and_out(client: Any, table: str) -> None:
    client.insert_arrow(table, pa.table({"a": pa.array([1, 2], pa.uint64()), "b": ["x", "y"]}))
    assert client.query_arrow(f"SELECT * FROM {table} ORDER BY a").to_pydict() == {"a": [1, 2], "b": [b"x", b"y"]} or (
        client.query_arrow(f"SELECT * FROM {table} ORDER BY a").to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    )


@pytest.mark.parametrize("in_a_form", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        "'; DROP TABLE t; --",
        "\\",
        "\\'",
        "a\nb\tc",
        "{x:String}",
        "",
        "\N{SNOWMAN}",
        "\\N",
        "a\0b",
        "x' OR 'a'='a",
        "%41+&=",
    ],
)
def test_a_parameter_is_only_ever_a_value(url: str, value: str, in_a_form: bool) -> None:
    asking = connect(url, form_encode_query_params=in_a_form)
    assert asking.query("SELECT {x:String} AS x, {n:Array(String)} AS n", {"x": value, "n": [value]}).first_row == (
        value,
        [value],
    )


def test_a_parameter_of_the_wrong_type_is_an_error(client: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.query("SELECT {x:UInt64}", {"x": "1 OR 1"})
    assert caught.value.code == 457


@pytest.mark.parametrize("method", ["lz4", "zstd", "gzip", False])
def test_compression_works_both_ways(url: str, table: str, method: str | bool) -> None:
    squeezed = connect(url, compress=method)
    squeezed.insert(table, [list(range(50_000)), ["same text"] * 50_000], column_names=["a", "b"], column_oriented=True)
    assert len(rows(squeezed, table)) == 50_000
    asked = requests.post(
        url, "SELECT * FROM numbers(10000)", headers={"Accept-Encoding": str(method)}, auth=AUTH, timeout=60
    )
    assert asked.headers.get("Content-Encoding") == (method or None)


@pytest.mark.parametrize("encode", [lz4.frame.compress, zstandard.compress, gzip.compress, zlib.compress])
def test_a_compressed_body_that_is_cut_short_writes_nothing(url: str, client: Any, table: str, encode: Any) -> None:
    name = {gzip.compress: "gzip", zlib.compress: "deflate", zstandard.compress: "zstd"}.get(encode, "lz4")
    whole = encode(b"".join(b"%d,%s\n" % (number, os.urandom(8).hex().encode()) for number in range(5000)))
    for body, expected in ((whole[: len(whole) // 2], 0), (whole, 5000)):
        answer = requests.post(
            url,
            body,
            params={"query": f"INSERT INTO {table} FORMAT CSV"},
            headers={"Content-Encoding": name},
            auth=AUTH,
            timeout=60,
        )
        assert answer.ok == bool(expected)
        assert client.query(f"SELECT count() FROM {table}").first_row == (expected,)


def test_external_tables_come_with_a_form(client: Any) -> None:
    sent = ExternalData(file_name="ext.csv", data=b'1,"it\'s"\n2,b\n', fmt="CSV", structure="n UInt8, s String")
    sent.add_file(file_name="other.tsv", data=b"2\tx\n", fmt="TSV", types="UInt8,String")
    found = client.query(
        "SELECT n, s, o._2 FROM ext JOIN other AS o ON o._1 = n WHERE n >= {m:UInt8}", {"m": 1}, external_data=sent
    )
    assert found.result_rows == [(2, "b", "x")]


@pytest.mark.parametrize(
    ("query", "body", "headers"),
    [
        ("INSERT INTO {t} FORMAT CSV", b"7,x\n8,y\n", {}),
        ("INSERT INTO {t} (a, b) VALUES", b"(7,'x'),(4+4,'y')", {}),
        ("", b"INSERT INTO {t} VALUES (7, 'x'), (8, 'y');", {}),
        (
            "",
            b'/* FORMAT TSV */ insert into {t} -- VALUES\n(a, b) format JSONEachRow {"a":7,"b":"x"} {"a":8,"b":"y"}',
            {},
        ),
        ("INSERT INTO {t} SETTINGS max_insert_block_size = 1 FORMAT TSV", b"7\tx\n8\ty\n", {}),
        ("INSERT INTO {t}", b"7,x\n8,y\n", {"X-ClickHouse-Format": "CSV"}),
        ("INSERT INTO {t} FORMAT CSV", b"7,x\n8,y\n", {"X-ClickHouse-Format": "TSV"}),
        ("INSERT INTO {t}", b"SELECT number, ['x','y'][number - 6] FROM numbers(7, 2)", {}),
        ("INSERT INTO {t} FORMAT TSV 7\tx", b"8\ty\n", {}),
        ("INSERT INTO {t} VALUES ({{n:UInt64}}, 'x'), (8, {{s:String}})", b"", {}),
    ],
)
def test_an_insert_may_be_written_in_every_usual_way(
    url: str, client: Any, table: str, query: str, body: bytes, headers: dict[str, str]
) -> None:
    params = {"query": query.format(t=table), "param_n": "7", "param_s": "y"}
    if "{" not in query.format(t=""):
        params = {"query": params["query"]}
    text = body.replace(b"{t}", table.encode())
    answer = requests.post(url, text, params=params, headers=headers, auth=AUTH, timeout=60)
    assert answer.ok, answer.text
    assert rows(client, table) == [(7, "x"), (8, "y")]
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "2"


def test_a_row_that_cannot_be_read_refuses_the_whole_insert(client: Any, table: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        client.raw_insert(table, None, b"1,a\n2,b\nthree,c\n", fmt="CSV")
    assert caught.value.code == 27
    assert rows(client, table) == []
