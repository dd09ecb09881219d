-- Events that come back, and what their duplicates are found by. A new sorting column must be added where it is sorted by.
ALTER TABLE {database}.usage_rows
    ADD COLUMN IF NOT EXISTS admission UInt64 COMMENT 'Offset of the admission record + 1, whose events are a row of their own; 0 for events that came in time',
    MODIFY ORDER BY (meter, subject, window_start, dims, meter_version, topic, partition, chunk, admission);

ALTER TABLE {database}.ledger_rows
    ADD COLUMN IF NOT EXISTS admitted UInt64 COMMENT 'Of the accepted events, those that came late or were refused first, and were admitted by command' AFTER unmetered,
    ADD COLUMN IF NOT EXISTS lateness_max_ms UInt64 COMMENT 'Hours of event time that end at or before clock - this are closed, and archived' AFTER clock,
    ADD COLUMN IF NOT EXISTS archived_since DateTime64(3, 'UTC') COMMENT 'Of hours that begin before this the archive may lack identities' AFTER lateness_max_ms;

CREATE TABLE IF NOT EXISTS {database}.identity_archive_rows
(
    topic LowCardinality(String) COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    hour UInt32 COMMENT 'Hour of event time, hours since 1970',
    identity UInt128 CODEC(NONE) COMMENT 'Digest of source, id and time of an accepted event; random, so that nothing compresses it'
)
ENGINE = ReplacingMergeTree
PARTITION BY intDiv(hour, 720)
ORDER BY (topic, partition, hour, identity)
COMMENT 'Identities of all events accepted in hours that are closed: whether an event that comes back was counted. Do not drop any of it while late events of its hours may come back';

CREATE TABLE IF NOT EXISTS {database}.number_archive_rows
(
    topic LowCardinality(String) COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    day UInt32 COMMENT 'Day of event time, days since 1970',
    source UInt128 COMMENT 'Digest of the source',
    first Int64 COMMENT 'First number of the interval',
    last Int64 COMMENT 'Last number of the interval, inclusive'
)
ENGINE = ReplacingMergeTree
PARTITION BY intDiv(day, 30)
ORDER BY (topic, partition, day, source, first, last)
COMMENT 'Numbers of all events accepted in days that are closed, of sources that number their events. Do not drop any of it while late events of its days may come back';

CREATE TABLE IF NOT EXISTS {database}.archive_gap_rows
(
    topic LowCardinality(String) COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    before DateTime64(3, 'UTC') COMMENT 'Hours that end before this may lack identities in the archive'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, before)
COMMENT 'When the tables were lost and written anew: the archive is on no topic, so it is not whole before';

CREATE TABLE IF NOT EXISTS {database}.admission_rows
(
    topic LowCardinality(String) COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    offset UInt64 COMMENT 'Offset of the admission record',
    event_index UInt32 COMMENT 'Place of the event in the admission record',
    letter_topic LowCardinality(String) COMMENT 'Topic id of the message that the event came in first',
    letter_partition Int32 COMMENT 'Partition of that message',
    letter_offset UInt64 COMMENT 'Offset of that message',
    letter_index UInt32 COMMENT 'Place of the event in that message',
    verdict LowCardinality(String) COMMENT 'accepted duplicate late invalid unmetered',
    reason String CODEC(ZSTD(1)) COMMENT 'Why it is late or invalid: stable code, then what to do',
    identity UInt128 COMMENT 'Digest of source, id and time of the event; 0 where it was not looked at',
    clock DateTime64(3, 'UTC') COMMENT 'The partition''s clock then'
)
ENGINE = ReplacingMergeTree
ORDER BY (topic, partition, letter_topic, letter_partition, letter_offset, letter_index, offset, event_index)
COMMENT 'What became of events that came back, one row for each try. Query admissions instead';
