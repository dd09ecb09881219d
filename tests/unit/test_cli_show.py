"""How answers are printed."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tollstream.show import plain, print_records, print_table, printable, spoken

RECORDS = [
    {"who": "a,b", "dimensions": {"region": 'e"u'}, "quantity": Decimal("1E+3"), "events": 1234567, "ok": True},
    {"who": "[bold]x", "dimensions": {"region": ""}, "quantity": Decimal("0.000000000001"), "events": 0, "ok": False},
]
COLUMNS = ["who", "dimensions.region", "quantity", "events", "ok"]


def test_a_mapping_is_pairs_in_a_table_and_json_in_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert spoken({"region": "sa+us", "class": "A"}) == "region=sa+us, class=A"
    assert spoken({}) == ""
    print_records([{"price": "egress", "values": {"region": "eu"}}], ("price", "values"), "csv")
    assert capsys.readouterr().out == 'price,values\negress,"{""region"":""eu""}"\n'


def test_json_is_an_array_with_decimal_strings(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(RECORDS, COLUMNS, "json")
    found = json.loads(capsys.readouterr().out)
    assert [record["quantity"] for record in found] == ["1000", "0.000000000001"]
    assert found[0] == {
        "who": "a,b",
        "dimensions": {"region": 'e"u'},
        "quantity": "1000",
        "events": 1234567,
        "ok": True,
    }


def test_no_records_are_an_empty_array_and_a_line_of_columns(capsys: pytest.CaptureFixture[str]) -> None:
    print_records([], COLUMNS, "json")
    assert json.loads(capsys.readouterr().out) == []
    print_records([], COLUMNS, "csv")
    assert capsys.readouterr().out == "who,dimensions.region,quantity,events,ok\n"


def test_csv_quotes_what_needs_it(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(RECORDS, COLUMNS, "csv")
    assert capsys.readouterr().out.splitlines()[1:] == [
        '"a,b","e""u",1000,1234567,true',
        "[bold]x,,0.000000000001,0,false",
    ]


def test_a_table_separates_thousands_and_takes_markup_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    print_records(RECORDS, COLUMNS, "table")
    shown = capsys.readouterr().out
    assert "1,234,567" in shown and "1,000" in shown and "[bold]x" in shown
    assert "region" in shown and "dimensions.region" not in shown


def test_a_piped_table_is_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"raw": "x" * 500}], ["raw"])
    assert "x" * 500 in capsys.readouterr().out


def test_a_long_table_says_how_much_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"n": number} for number in range(1_003)], ["n"])
    answer = capsys.readouterr()
    assert "... and 3 more" in answer.err and "1,002" not in answer.out


@pytest.mark.parametrize(
    ("value", "written", "said"),
    [
        (Decimal("12345.60"), "12345.60", "12,345.60"),
        (datetime(2026, 11, 1, tzinfo=UTC), "2026-11-01T00:00:00Z", "2026-11-01 00:00"),
        (datetime(2026, 11, 1, 1, 2, 3, 4000, UTC), "2026-11-01T01:02:03.004000Z", "2026-11-01 01:02:03"),
        (datetime(2026, 11, 1, tzinfo=timezone(timedelta(hours=2))), "2026-10-31T22:00:00Z", "2026-10-31 22:00"),
        (date(2026, 11, 1), "2026-11-01", "2026-11-01"),
        (None, None, ""),
        (True, True, "yes"),
    ],
)
def test_values_are_written_for_scripts_and_said_for_people(value: object, written: object, said: str) -> None:
    assert plain(value) == written
    assert spoken(value) == said


def test_nothing_that_steers_a_terminal_gets_through() -> None:
    assert printable("a\x1b[31mb\x07\u202ec") == "a\\x1b[31mb\\x07\\x202ec"
    assert spoken("two\nlines") == "two\\nlines"
