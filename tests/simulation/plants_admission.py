"""Bugs to plant in what brings events back, beside those of tests.simulation.plants."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np

from processors import admission, checkpoint
from processors.meter import PartitionState
from tests.simulation.plants import PLANTS, Patch, planted

__all__ = ["PLANTS"]  # with those of here


@planted("I", "admissions")
def admissions_without_expiry() -> Patch:
    """What a command knew is believed, however long ago it was."""

    def vouched(state: PartitionState, record: admission.AdmissionRecord, decoded: Any) -> Any:
        opened, _ = honest(state, record, decoded)
        return opened, np.ones(len(opened), np.bool_)

    honest = admission._vouched
    return mock.patch.object(admission, "_vouched", vouched)


@planted("I")
def an_archive_that_nobody_reads() -> Patch:
    def archived(client: object, topic: str, partition: int, asked: object) -> set[int]:
        return set()

    return mock.patch("tests.simulation.commands.archived", archived)


@planted("I")
def buckets_of_admissions_not_saved() -> Patch:
    """A state from Redis knows none of what came back; one from the log does."""
    load = checkpoint.load

    def forgetful(state: PartitionState, snapshot: checkpoint.Snapshot) -> None:
        load(state, snapshot)
        state.admissions.buckets.clear()

    return mock.patch("processors.owner.load", forgetful)


@planted("I")
def admitted_rows_sent_once() -> Patch:
    """What an admission came to is not sent again by the next owner."""
    return mock.patch("processors.checkpoint._admissions", lambda state, since: [])
