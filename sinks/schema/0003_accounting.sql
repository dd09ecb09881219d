CREATE TABLE IF NOT EXISTS {database}.ledger_rows
(
    topic LowCardinality(String) COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    offset UInt64 COMMENT 'Offset of the next message: the version of the row',
    consumed UInt64 COMMENT 'Events read, counted before they are judged',
    accepted UInt64 COMMENT 'Events aggregated',
    duplicate UInt64 COMMENT 'Events already accepted before',
    late UInt64 COMMENT 'Events older than the partition''s clock less the lateness of their type',
    invalid UInt64 COMMENT 'Events refused',
    unmetered UInt64 COMMENT 'Events that no meter takes',
    clock DateTime64(3, 'UTC') COMMENT 'Highest record timestamp seen',
    version UInt128 MATERIALIZED toUInt128(offset) COMMENT 'The highest one is the row'
)
ENGINE = ReplacingMergeTree(version)
ORDER BY (topic, partition)
COMMENT 'Counts of events, one row for each partition. Query ledger_current instead';

-- Letters have no version: (topic, partition, offset, event_index) names one event of the log, and the log does not change.
CREATE TABLE IF NOT EXISTS {database}.late_event_rows
(
    topic LowCardinality(String) COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    offset UInt64 COMMENT 'Offset of the message',
    event_index UInt32 COMMENT 'Place of the event in its message',
    reason String COMMENT 'Stable code, then what to do',
    raw String CODEC(ZSTD(1)) COMMENT 'The event''s original bytes',
    record_timestamp DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record',
    type LowCardinality(String) COMMENT 'Event type, empty if unreadable',
    subject String COMMENT 'Subject, empty if unreadable'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, offset, event_index)
COMMENT 'Events that came too late, as they came. Query late_events instead';

CREATE TABLE IF NOT EXISTS {database}.dead_letter_rows AS {database}.late_event_rows
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, offset, event_index)
COMMENT 'Events that were refused, as they came. Query dead_letters instead';

CREATE TABLE IF NOT EXISTS {database}.catalogue_rows
(
    generation UInt64 COMMENT 'Generation of the catalogue',
    kind LowCardinality(String) COMMENT 'event, meter, plan, account, contract or settings of the catalogue',
    id String COMMENT 'Id within the kind',
    version UInt32 COMMENT 'Version of the record; 0 for kinds without versions',
    body String CODEC(ZSTD(1)) COMMENT 'The record as JSON'
)
ENGINE = ReplacingMergeTree
ORDER BY (generation, kind, id, version)
COMMENT 'What was published, one row for each generation and record. Query catalogue instead';
