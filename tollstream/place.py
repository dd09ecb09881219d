"""Where a command works: the directory of its configuration, and the one of the embedded services."""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter

from tollstream.failures import Unreachable

if TYPE_CHECKING:
    from config.catalogue import Catalogue
    from config.loader import Config
    from config.settings import Kafka

DEMO_CONFIG = Path(__file__).resolve().parent.parent / "demo" / "config"
STATE = Path(".tollstream")
SERVICE_SETTINGS = {
    "kafka": "TOLLSTREAM_KAFKA__BOOTSTRAP",
    "redis": "TOLLSTREAM_REDIS__URL",
    "clickhouse": "TOLLSTREAM_CLICKHOUSE__URL",
}
_DAY_MS = 86_400_000
_ANSWER_S = 3.0  # of a broker's port; librdkafka itself would try for 30 s before it says anything


class Place(msgspec.Struct, frozen=True):
    """Every command gets one. `config` holds *.toml files, `state` a stack that `tollstream up` started."""

    config: Path = DEMO_CONFIG
    state: Path = STATE

    def load(self, services: Mapping[str, str] | None = None) -> "Config":
        """Files, then the services of the running stack (or those given), then the environment, the last one winning.

        Raises ConfigError; StackError where the stack of `state` has ended or is still starting.
        """
        from config.loader import load

        return load(self.config, os.environ, self._running() if services is None else services)

    def _running(self) -> Mapping[str, str]:
        """A stack is looked for only where the environment leaves a service open."""
        if not unnamed_services():
            return {}
        from stack.services import services

        found = services(self.state)
        return found.environ if found else {}


Where = Annotated[Place, Parameter(parse=False)]


def unnamed_services() -> list[str]:
    """The services that the environment does not name, so that ours are used."""
    return [name for name, setting in SERVICE_SETTINGS.items() if not os.environ.get(setting)]


def log_reach_ms(config: "Config") -> int:
    """How far back the log must reach for a restore: the longest lateness + a day + the skew. A day is the largest
    window there is, and the numbers of a source are kept by the day whatever the windows."""
    lateness: int = max((event.lateness_ms for event in config.catalogue.events), default=0)
    return lateness + _DAY_MS + config.settings.processing.skew_ms


def check_broker(kafka: "Kafka") -> None:
    """Raises Unreachable at once where nothing listens on any of the bootstrap addresses."""
    reasons = []
    for address in kafka.bootstrap.split(","):
        host, _, port = address.rpartition("://")[2].strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _ANSWER_S).close()
        except (OSError, ValueError) as error:
            reasons.append(f"{address.strip()}: {error}")
        else:
            return
    raise Unreachable(f"no Kafka broker answers ({'; '.join(reasons)})")


def published_catalogue(kafka: "Kafka") -> "Catalogue":
    """Raises Unpublished where there is none."""
    from sinks.catalogue_topic import Unpublished, read_catalogue

    check_broker(kafka)
    catalogue = read_catalogue(kafka)
    if catalogue is None:
        raise Unpublished(f"no catalogue is published on {kafka.catalogue_topic}")
    return catalogue


def now_ms() -> int:
    """Wall time, for what people do now: publishing, and making traffic."""
    return time.time_ns() // 1_000_000
