"""Part two: 336,776 real flights of 2013, checked against a group-by of the raw file done by another library."""

from __future__ import annotations

from demo.flights import expected, flights
from demo.steps import Steps
from demo.truth import compare_flights

COUNT = 336_776


def run(steps: Steps) -> None:
    """Meter the flights by carrier and origin, and compare every carrier's month."""
    steps.title(f"real data: {COUNT:,} flights of 2013, metered by carrier")
    traffic = steps.state / "flights.ndjson"
    with traffic.open("wb") as out:
        out.writelines(line.rstrip(b"\n") + b"\n" for line in flights())
    print(steps.run("catalogue", "publish"), end="")
    print(steps.run("emit", str(traffic), "--batch", "500"), end="", flush=True)
    steps.run("run", "--workers", "2", "--until-caught-up")
    steps.show("invoice", "preview", "--account", "UA", "--period", "2013-07")

    steps.title("is it true? Every carrier's month against a group-by of the raw file")
    known = expected()
    ledger = steps.read("ledger")
    said = [] if (ledger["accepted"], ledger["consumed"]) == (COUNT, COUNT) else [str(ledger)]
    steps.check("every flight accepted once", COUNT, said)
    for meter, counts in (
        ("distance_flown", known.distance),
        ("flights", known.flights),
        ("tail_numbers", known.tail_numbers),
    ):
        records = steps.read("usage", "--meter", meter, "--window", "month", "--group-by", "subject")
        steps.check(f"{meter} by carrier and month", len(counts), compare_flights(meter, counts, records, ["subject"]))
    by = ["subject", "origin"]
    records = steps.read("usage", "--meter", "tail_numbers", "--window", "day", "--group-by", ",".join(by))
    daily = known.tail_numbers_daily
    differences = compare_flights("tail_numbers", daily, records, by)
    steps.check("tail numbers by carrier, origin and day", len(daily), differences)
