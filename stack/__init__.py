"""A whole stack from Python packages: broker, Valkey, ClickHouse engine behind HTTP. With Java, Apache Kafka."""

from stack.errors import Ended, InUse, StackError, Unavailable
from stack.lifecycle import down, up
from stack.running import SERVICES, Stack, running
from stack.services import Services, services

__all__ = [
    "SERVICES",
    "Ended",
    "InUse",
    "Services",
    "Stack",
    "StackError",
    "Unavailable",
    "down",
    "running",
    "services",
    "up",
]
