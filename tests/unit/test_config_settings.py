"""Settings: secrets stay hidden, limits have bounds."""

import msgspec
import pytest
from rich.console import Console

from config.settings import ClickHouse, Kafka, Limits, Redis, Settings, hide_credentials

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    "section",
    [
        ClickHouse(password=SECRET),
        ClickHouse(url=f"https://me:{SECRET}@host:8443"),
        ClickHouse(url=f"https://host:8443/?user=me&password={SECRET}"),
        Redis(url=f"redis://:{SECRET}@host:6379/0"),
        Redis(url=f"redis://me:p/?#{SECRET}@host:6379/0"),
        Redis(url=f"rediss://host/0?ssl_cert_reqs=none&password={SECRET}&db=1"),
        Redis(url=f"redis://me:p@{SECRET}@host/0"),
    ],
)
def test_no_way_of_printing_settings_shows_a_secret(section: Redis | ClickHouse) -> None:
    settings = Settings(redis=section) if isinstance(section, Redis) else Settings(clickhouse=section)
    console = Console(width=500)
    with console.capture() as captured:
        console.print(settings)
    for shown in (repr(section), str(section), f"{settings}", captured.get()):
        assert SECRET not in shown
        assert "***" in shown


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@host:6379/0?db=1", "redis://***@host:6379/0?db=1"),
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123"),
    ],
)
def test_hiding_credentials_keeps_the_rest_of_the_url(url: str, shown: str) -> None:
    assert hide_credentials(url) == shown


def test_settings_are_frozen_and_refuse_unknown_fields() -> None:
    with pytest.raises(AttributeError):
        Limits().unique_max = 5  # type: ignore[misc]
    with pytest.raises(msgspec.ValidationError, match="unknown field `bootstraps`"):
        msgspec.convert({"bootstraps": "x"}, Kafka)


def test_the_defaults_satisfy_their_own_bounds() -> None:
    assert msgspec.convert(msgspec.to_builtins(Settings()), Settings) == Settings()
