"""Errors become one message with what to do next, and an exit code that tells them apart."""

from collections.abc import Callable
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, OperationalError
from confluent_kafka import KafkaError, KafkaException
from redis.exceptions import ConnectionError as RedisConnectionError

from config.faults import ConfigError, Fault
from edge.emitter import EmitError
from rating.money import MixedCurrencyError
from sinks.catalogue_topic import Overtaken, Unpublished
from sinks.errors import Retryable
from stack.errors import Ended, InUse, Unavailable
from tollstream.__main__ import main
from tollstream.failures import CheckFailed, Unreachable, UsageError, explain, first_line, known_errors
from tollstream.place import SERVICE_SETTINGS, Place, check_broker

REFUSED = (
    "Error HTTPConnectionPool(host='127.0.0.1', port=8123): Max retries exceeded with url: /?query_id=be5 (Caused by "
    "NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=8123): Failed to establish a new connection: "
    '[Errno 111] Connection refused")) executing HTTP request attempt 1 (http://127.0.0.1:8123)'
)


def clickhouse(code: int) -> DatabaseError:
    error = DatabaseError(f"Code: {code}. DB::Exception: something")
    error.code = code
    return error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("--x is wrong: write y"), 2, "write y"),
        (CheckFailed("two differ"), 1, "two differ"),
        (Unreachable("no broker"), 3, "tollstream up"),
        (ConfigError([Fault("meter[0].value", "is missing")], "it"), 2, "meter[0].value: is missing"),
        (Retryable("Kafka: gone", 1), 3, "tollstream doctor"),
        (Unpublished("nothing is published"), 2, "tollstream catalogue publish"),
        (Overtaken("another publish"), 1, "another publish"),
        (EmitError("no topic"), 3, "no topic"),
        (MixedCurrencyError("USD, EUR"), 2, "USD, EUR"),
        (InUse("in use by process 7"), 2, "process 7"),
        (Ended("valkey ended"), 3, "valkey ended"),
        (Unavailable("no Java"), 3, "no Java"),
        (KafkaException(KafkaError(KafkaError._ALL_BROKERS_DOWN)), 3, "tollstream up"),
        (KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)), 3, "tollstream catalogue publish"),
        (RedisConnectionError("Error 111 connecting"), 3, "tollstream up"),
        (OperationalError(REFUSED), 3, "127.0.0.1:8123: Connection refused: start"),
        (clickhouse(60), 3, "make the tables"),
        (clickhouse(81), 3, "make the tables"),
        (clickhouse(396), 2, "--from and --to"),
        (clickhouse(516), 2, "clickhouse.user"),
        (ConnectionResetError(104, "Connection reset by peer"), 3, "tollstream up"),
        (PermissionError(13, "Permission denied", "/f"), 2, "/f: Permission denied"),
    ],
)
def test_each_error_has_its_exit_code_and_advice(error: Exception, code: int, said: str) -> None:
    assert isinstance(error, known_errors())
    failure = explain(error)
    assert failure.code == code
    assert said in failure.message


def raising(error: BaseException) -> Callable[[Place], None]:
    def load(place: Place) -> None:
        raise error

    return load


def test_no_traceback_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Place, "load", raising(Retryable("ClickHouse: gone", 1)))
    monkeypatch.delenv("TOLLSTREAM_DEBUG", raising=False)
    assert main(["ledger"]) == 3
    said = capsys.readouterr().err
    assert said.startswith("tollstream: ClickHouse: gone: start the services") and said.count("\n") == 1


def test_the_debug_variable_brings_the_traceback_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "load", raising(Retryable("ClickHouse: gone", 1)))
    monkeypatch.setenv("TOLLSTREAM_DEBUG", "1")
    with pytest.raises(Retryable):
        main(["ledger"])


def test_a_fault_of_our_own_is_not_dressed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "load", raising(KeyError("ours")))
    with pytest.raises(KeyError):
        main(["ledger"])


def test_an_interrupt_exits_as_shells_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Place, "load", raising(KeyboardInterrupt()))
    assert main(["ledger"]) == 130


def test_messages_do_not_carry_credentials() -> None:
    assert first_line(ValueError("can't reach redis://:s3cret@host:1/0")) == "can't reach redis://host:1/0"
    assert first_line(ValueError("can't reach http://u:p@ss@host:1")) == "can't reach http://host:1"


@pytest.mark.parametrize("bootstrap", ["127.0.0.1:1", "127.0.0.1:1,[::1]:1", "PLAINTEXT://127.0.0.1:1", "nonsense"])
def test_a_broker_that_is_not_there_is_told_at_once(bootstrap: str) -> None:
    from config.settings import Kafka

    with pytest.raises(Unreachable, match="no Kafka broker answers"):
        check_broker(Kafka(bootstrap=bootstrap))


def test_services_that_ended_are_told_by_the_next_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting in SERVICE_SETTINGS.values():
        monkeypatch.delenv(setting, raising=False)
    (tmp_path / "status.json").write_text('{"state":"failed","reason":"valkey ended with exit code 1"}')
    assert main(["ledger", "--state", str(tmp_path)]) == 3
    assert "valkey ended with exit code 1" in capsys.readouterr().err
