"""Every form in one topic: columnar messages beside JSON and MessagePack, through a killed worker and back again."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
from pipeline import Pipeline
from pipeline_traffic import BASE, DAY, Traffic, check, check_truth
from pipeline_truth import Sent
from test_pipeline_admission import bring_back
from test_reconcile_pipeline import checked, found

from edge.columnar import messages, to_columns
from processors.arrow_frames import HEAD
from sinks.letters import Choice
from sinks.queries import dead_letters


class Mixed(Traffic):
    """Half of the batches as the emitter makes columns of them; some again without subjects, some cut."""

    def _flush(self, batches: dict[int, list[dict[str, Any]]], partition: int, at_ms: int, packed: bool) -> None:
        if not packed or len(batches[partition]) < 2:
            super()._flush(batches, partition, at_ms, packed)
            return
        events, batches[partition] = batches[partition], []
        lines = [msgspec.json.encode(event) for event in events]
        rows = [(row, event) for row, event in zip(map(to_columns, lines), events, strict=True) if row is not None]
        for line, event in zip(lines, events, strict=True):
            if to_columns(line) is None:  # an object of nothing
                self.add(Sent(partition, at_ms, line, [event]))
        (value,) = messages([row for row, _ in rows], 1_000_000)
        self.add(Sent(partition, at_ms, value, [event for _, event in rows]))
        if self.random.random() < 0.1:
            self.add(Sent(partition, at_ms, value[: len(value) // 2], [None]))
        if self.random.random() < 0.3:
            self.add(Sent(partition, at_ms, without_subject(value), [None for _ in rows]))


def without_subject(value: bytes) -> bytes:
    """The same rows, none with a subject."""
    batch = pa.ipc.open_stream(value).read_next_batch().drop_columns(["subject"])
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def test_i1_i2_i6_all_forms_in_one_topic_equal_the_recount_and_come_back(one_pipeline: Pipeline) -> None:
    pipeline = one_pipeline
    traffic = Mixed(seed=61)
    middle: datetime = BASE + 2 * DAY
    pipeline.send(traffic.fill(1_000, BASE, middle))
    with pipeline.running(workers=2) as run:
        run.until(lambda: pipeline.consumed() > 0, "the first output")
        run.kill()
        pipeline.send(traffic.fill(1_000, middle, middle + timedelta(days=4)))
        run.kill()
    pipeline.catch_up()
    truth = check(pipeline, traffic.log)
    assert sum((sent.value or b"").startswith(HEAD) for sent in traffic.log) > 10
    letters = list(dead_letters(pipeline.client, limit=10_000))
    assert len(letters) == truth.ledger["invalid"] > 0
    reasons = {letter.reason.partition(":")[0] for letter in letters}
    assert reasons == {"arrow", "subject"}
    assert found(checked(pipeline)) == []
    said = [truth.admit(*one) for one in list(truth.late)]
    with pipeline.running(workers=1):
        summary = bring_back(pipeline)
        assert summary.admitted == said.count("accepted") > 0
        refused = bring_back(pipeline, "dead_letters", Choice(status="waiting"))
        assert (refused.admitted, refused.refused) == (0, len(letters))
    pipeline.catch_up()
    check_truth(pipeline, truth)
