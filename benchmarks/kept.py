"""What the events of a run take up once it is over: identities in Redis, rows in ClickHouse."""

from typing import Any

import msgspec

from config.loader import Config
from processors.state import connect
from sinks.clickhouse import reader

_DIGEST_BYTES = 16
_TABLES = {"usage_rows": "usage", "rated_rows": "rated", "identity_archive_rows": "archived ids"}


class Kept(msgspec.Struct):
    """Bytes. On disk they are those of the active parts, as merged as they are at the end of the run."""

    identities: int
    redis_identity_bytes: int  # as Valkey allocated it
    redis_bytes: int  # of all keys
    disk_bytes: dict[str, int]  # usage, rated, archived ids
    disk_rows: dict[str, int]  # superseded ones with them


def kept(config: Config) -> Kept:
    """Ask both services."""
    client = connect(config.settings.redis.url)
    found: Any = client.scan_iter(match="tollstream:*", count=1000)
    sizes = {key: int(client.memory_usage(key, samples=0) or 0) for key in found}
    ids = [key for key in sizes if b":ids:" in key]
    identities = sum(int(client.strlen(key)) // _DIGEST_BYTES for key in ids)
    client.close()
    tables = reader(config.settings.clickhouse)
    query = """SELECT table, sum(bytes_on_disk), sum(rows) FROM system.parts
        WHERE active AND database = {database:String} GROUP BY table"""
    parts = tables.query(query, {"database": config.settings.clickhouse.database}).result_rows
    tables.close()
    known = [(_TABLES[table], size, rows) for table, size, rows in parts if table in _TABLES]
    return Kept(
        identities=identities,
        redis_identity_bytes=sum(sizes[key] for key in ids),
        redis_bytes=sum(sizes.values()),
        disk_bytes={name: size for name, size, _ in known},
        disk_rows={name: rows for name, _, rows in known},
    )
