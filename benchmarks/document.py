"""All that one run of the benchmark measured, as it is written to disk."""

import msgspec

from benchmarks.beside import Peers
from benchmarks.history import Point
from benchmarks.latency import Latency
from benchmarks.machine import Machine
from benchmarks.memory import Memory
from benchmarks.open_state import OpenState
from benchmarks.pipeline import Pipeline
from benchmarks.sequences import Dedupe
from benchmarks.steps import Steps
from benchmarks.sweeps import Sweeps


class Asked(msgspec.Struct):
    """How it was called, and what of it was not done."""

    parts: list[str]
    forms: list[str]
    broker: str  # embedded, or apache with its version
    events: int
    workers: int
    rate: float  # events a second
    budget_minutes: float | None
    settings: dict[str, str] = {}  # TOLLSTREAM_SECTION__KEY that are not as they come
    took_s: float = 0.0
    left_out: list[str] = []  # for want of time


class Document(msgspec.Struct):
    """One run. A part that was left out is None or empty."""

    machine: Machine
    asked: Asked
    pipelines: list[Pipeline] = []
    latency: list[Latency] = []
    open_state: OpenState | None = None
    history: list[Point] = []
    keys: list[Point] = []
    sweeps: Sweeps | None = None
    memory: Memory | None = None
    steps: list[Steps] = []  # of each form, without the kernel and with it
    sequences: Dedupe | None = None
    peers: Peers | None = None  # of the last run beside others
