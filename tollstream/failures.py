"""What can go wrong, as one message that ends with what to do next, and an exit code.

Classes of the services' clients are looked up only once something has imported them: a client that was never loaded
raised nothing, and loading it would make every command slow to start.
"""

import re
import sys
from collections.abc import Callable
from typing import Any, NamedTuple

OK = 0
CHECK_FAILED = 1  # a difference, something out of balance, refused or failing
USAGE = 2  # the command line or the configuration
UNREACHABLE = 3  # a service
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

EXIT_CODES = "Exit codes: 0 all is well · 1 a check failed · 2 usage or configuration · 3 a service is not reachable."

_START = "start the services with `tollstream up`, or see what `tollstream doctor` says"
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
# urllib3's way of saying it, around what the system said.
_NO_CONNECTION = re.compile(
    r"HTTPS?ConnectionPool\(host='(?P<host>[^']+)', port=(?P<port>[0-9]+)\).*\[Errno -?[0-9]+\] (?P<reason>[^\"')]+)"
)


class UsageError(Exception):
    """A command can't do what was asked as it was asked; the message says how to ask."""


class CheckFailed(Exception):  # noqa: N818 - said as it is
    """What a command looked at is not as it must be."""


class Unreachable(Exception):  # noqa: N818
    """A service is not there."""


class Failure(NamedTuple):
    message: str
    code: int


Explain = Callable[[Any], Failure]


def _plain(code: int) -> Explain:
    return lambda error: Failure(str(error), code)


def _with(advice: str, code: int) -> Explain:
    return lambda error: Failure(f"{first_line(error)}: {advice}", code)


def first_line(error: BaseException) -> str:
    """The first line of a message, without credentials in addresses, and short where no HTTP connection was had."""
    line = str(error).partition("\n")[0].strip() or type(error).__name__
    if refused := _NO_CONNECTION.search(line):
        line = f"{refused['host']}:{refused['port']}: {refused['reason']}"
    return _CREDENTIALS.sub("", line).rstrip(".:")


def _kafka(error: Any) -> Failure:
    cause = error.args[0] if error.args else error
    if cause.name() == "UNKNOWN_TOPIC_OR_PART":
        return Failure(f"Kafka: {cause.str()}: make the topics with `tollstream catalogue publish`", UNREACHABLE)
    return Failure(f"Kafka: {cause.str()}: {_START}", UNREACHABLE)


def _clickhouse(error: Any) -> Failure:
    line = f"ClickHouse: {first_line(error)}"
    match error.code:
        case 60 | 81:  # UNKNOWN_TABLE, UNKNOWN_DATABASE
            return Failure(f"{line}: make the tables with `tollstream catalogue publish` or `run`", UNREACHABLE)
        case 396:  # TOO_MANY_ROWS_OR_BYTES
            return Failure(f"{line}: ask for less, with --from and --to or a larger --window", USAGE)
        case 192 | 193 | 194 | 497 | 516:  # users, passwords, rights
            return Failure(f"{line}: correct clickhouse.user and password in the configuration", USAGE)
    return Failure(f"{line}: {_START}", UNREACHABLE)


_PUBLISH = "publish one with `tollstream catalogue publish`"

_KNOWN: dict[tuple[str, str], Explain] = {
    ("tollstream.failures", "UsageError"): _plain(USAGE),
    ("tollstream.failures", "CheckFailed"): _plain(CHECK_FAILED),
    ("tollstream.failures", "Unreachable"): _with(_START, UNREACHABLE),
    ("config.faults", "ConfigError"): _plain(USAGE),
    ("stack.errors", "InUse"): _plain(USAGE),
    ("stack.errors", "StackError"): _plain(UNREACHABLE),
    ("sinks.catalogue_topic", "Unpublished"): _with(_PUBLISH, USAGE),
    ("sinks.catalogue_topic", "Overtaken"): _plain(CHECK_FAILED),
    ("sinks.catalogue_topic", "Unreadable"): _plain(USAGE),
    ("sinks.errors", "Retryable"): _with(_START, UNREACHABLE),
    ("edge.emitter", "EmitError"): _plain(UNREACHABLE),
    ("rating.money", "MixedCurrencyError"): _plain(USAGE),
    ("processors.recovery", "RecoveryRefusedError"): _plain(CHECK_FAILED),
    ("processors.supervise", "WorkersFailedError"): _with(
        "read what they said above, mend it and run again; nothing acknowledged is lost", CHECK_FAILED
    ),
    ("confluent_kafka", "KafkaException"): _kafka,
    ("redis", "RedisError"): _with(_START, UNREACHABLE),
    ("clickhouse_connect.driver.exceptions", "ClickHouseError"): _clickhouse,
    ("builtins", "ConnectionError"): _with(_START, UNREACHABLE),
    ("builtins", "OSError"): lambda error: Failure(_os_error(error), USAGE),
}


def _os_error(error: OSError) -> str:
    reason = error.strerror or first_line(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def known_errors() -> tuple[type[BaseException], ...]:
    """The classes, of those loaded by now, that `explain` knows. Anything else is a fault of ours."""
    loaded = ((sys.modules.get(module), name) for module, name in _KNOWN)
    return tuple(getattr(module, name) for module, name in loaded if module is not None)


def explain(error: BaseException) -> Failure:
    """What to say and how to exit; the nearest class that is known decides. LookupError for one that is not."""
    for kind in type(error).__mro__:
        for (module, name), say in _KNOWN.items():
            if kind is getattr(sys.modules.get(module), name, None):
                return say(error)
    raise LookupError(f"no advice for {type(error).__name__}")
