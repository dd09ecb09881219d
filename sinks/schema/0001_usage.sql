-- The rules of every file in this folder: a file may run any number of times; a statement ends with a semicolon at the end of
-- a line; {database} is the only placeholder. Tables are named *_rows and hold every version of a row that is not merged away
-- yet: people query the views of 0009_views.sql. A PARTITION BY is always a function of the sorting key, so that two versions
-- of a row meet in one partition.
CREATE DATABASE IF NOT EXISTS {database} ENGINE = Atomic;

CREATE TABLE IF NOT EXISTS {database}.usage_rows
(
    meter LowCardinality(String) COMMENT 'Meter id',
    meter_version UInt32 COMMENT 'Version of the meter that aggregated the row',
    aggregation LowCardinality(String) COMMENT 'How the states merge: sum count min max avg latest unique gauge',
    precision UInt8 COMMENT 'Decimal digits by which sum, min, max and latest_value are scaled, 0 to 12',
    subject String COMMENT 'What used it',
    dims String CODEC(ZSTD(1)) COMMENT 'Dimensions as a JSON object of strings; keys sorted, since equal dimensions must be equal text',
    account LowCardinality(String) COMMENT 'Who pays. Not part of the key: filter on it after FINAL only, as the views do',
    window_start DateTime64(3, 'UTC') COMMENT 'Start of the window, inclusive',
    window_end DateTime64(3, 'UTC') COMMENT 'End of the window, exclusive',
    topic LowCardinality(String) COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic that this state comes from',
    chunk UInt32 COMMENT 'Part number of the members of a unique state or samples of a gauge, in order of arrival; 0 for everything else',
    offset UInt64 COMMENT 'Offset of the last event folded in',
    generation UInt64 COMMENT 'Generation of the catalogue that folded it',
    events UInt64 COMMENT 'Events folded in; chunk 0 carries the count for all chunks',
    sum_hi Int64 COMMENT 'Sum = sum_hi * 2^32 + sum_lo, scaled by precision',
    sum_lo Int64 COMMENT 'Low limb of the sum',
    min Int64 COMMENT 'Smallest value, scaled by precision; meaningless without events',
    max Int64 COMMENT 'Largest value, scaled by precision; meaningless without events',
    latest_time_us Int64 COMMENT 'Time of the latest event, microseconds since 1970; ties are broken by the id',
    latest_id_hi UInt64 COMMENT 'Identity digest of the latest event, high half',
    latest_id_lo UInt64 COMMENT 'Identity digest of the latest event, low half',
    latest_value Int64 COMMENT 'Value of the latest event, scaled by precision',
    members Array(UInt128) COMMENT 'Digests of the distinct values of a unique meter',
    samples Array(Tuple(time_us Int64, id UInt128, value Int64)) COMMENT 'What a gauge was read at: microseconds since 1970, identity digest, value scaled by precision',
    version UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(generation), 64), toUInt128(offset))
        COMMENT 'generation * 2^64 + offset: the highest one is the row',
    CONSTRAINT aggregation_known CHECK aggregation IN ('sum', 'count', 'min', 'max', 'avg', 'latest', 'unique', 'gauge'),
    CONSTRAINT known_precision CHECK precision <= 12
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(window_start)
ORDER BY (meter, subject, window_start, dims, meter_version, topic, partition, chunk)
COMMENT 'Mergeable aggregate states, one row for each meter version, subject, dimensions, window, partition and chunk. Query usage_windows, usage_hourly or usage_daily instead';

-- A table of before gauges.
ALTER TABLE {database}.usage_rows
    ADD COLUMN IF NOT EXISTS samples Array(Tuple(time_us Int64, id UInt128, value Int64)) COMMENT 'What a gauge was read at: microseconds since 1970, identity digest, value scaled by precision' AFTER members,
    DROP CONSTRAINT IF EXISTS known_aggregation;
ALTER TABLE {database}.usage_rows
    ADD CONSTRAINT IF NOT EXISTS aggregation_known CHECK aggregation IN ('sum', 'count', 'min', 'max', 'avg', 'latest', 'unique', 'gauge');
