-- What people query. A view has no data, so this file is each view's whole definition and is edited in place.
-- FINAL picks the highest version of each row, and filters of callers apply after it, also on columns outside the key (account,
-- plan). Never write PREWHERE in a view: it is applied before, and shows a superseded row where the newest one is filtered out.
-- Sums are Int256 or Decimal256 (Decimal128 wraps silently); states are merged, quantities never are.
CREATE OR REPLACE VIEW {database}.usage_partials
(
    meter String COMMENT 'Meter id',
    meter_version UInt32 COMMENT 'Version of the meter',
    aggregation String COMMENT 'sum count min max avg latest unique gauge',
    subject String COMMENT 'What used it',
    account String COMMENT 'Who pays',
    dims String COMMENT 'Dimensions as a JSON object, keys sorted',
    window_start DateTime64(3, 'UTC') COMMENT 'Start of the window, inclusive',
    window_end DateTime64(3, 'UTC') COMMENT 'End of the window, exclusive',
    topic String COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    chunk UInt32 COMMENT 'Part number of a unique state',
    admission UInt64 COMMENT 'Offset of the admission record + 1, whose events are a row of their own; 0 for events that came in time',
    events UInt64 COMMENT 'Events folded in',
    sum_12 Int256 COMMENT 'Sum, in 10^-12 of the meter''s unit',
    min_12 Int256 COMMENT 'Smallest value, in 10^-12 of the meter''s unit; meaningless where events = 0',
    max_12 Int256 COMMENT 'Largest value, in 10^-12 of the meter''s unit; meaningless where events = 0',
    latest_order Tuple(Int64, UInt64, UInt64) COMMENT 'Time (microseconds since 1970) and identity of the latest event: the larger is later',
    latest_12 Int256 COMMENT 'Value of the latest event, in 10^-12 of the meter''s unit; meaningless where events = 0',
    members Array(UInt128) COMMENT 'Digests of the distinct values of a unique meter',
    readings Array(Tuple(time_us Int64, id UInt128, value_12 Int256)) COMMENT 'What a gauge was read at: microseconds since 1970, identity, value in 10^-12 of the meter''s unit'
)
AS SELECT
    meter, meter_version, aggregation, subject, account, dims, window_start, window_end, topic, partition, chunk, admission, events,
    (toInt256(sum_hi) * 4294967296 + sum_lo) * intExp10(12 - precision) AS sum_12,
    toInt256(min) * intExp10(12 - precision) AS min_12,
    toInt256(max) * intExp10(12 - precision) AS max_12,
    (latest_time_us, latest_id_hi, latest_id_lo) AS latest_order,
    toInt256(latest_value) * intExp10(12 - precision) AS latest_12,
    members,
    arrayMap(one -> (one.time_us, one.id, toInt256(one.value) * intExp10(12 - precision)), samples) AS readings
FROM {database}.usage_rows FINAL
COMMENT 'Grain and key: meter, meter_version, subject, dims, window_start, topic, partition, chunk, admission. States to merge, at one scale; for quantities take usage_windows, usage_hourly or usage_daily';

CREATE OR REPLACE VIEW {database}.usage_windows
(
    meter String COMMENT 'Meter id',
    meter_version UInt32 COMMENT 'Version of the meter',
    aggregation String COMMENT 'sum count min max avg latest unique gauge: versions of a meter that differ in it have rows of their own',
    subject String COMMENT 'What used it',
    account String COMMENT 'Who pays',
    dimensions Map(String, String) COMMENT 'Dimensions by their dotted path; a missing one is empty',
    dims String COMMENT 'The same as a JSON object, keys sorted: for grouping and joining',
    window_start DateTime64(3, 'UTC') COMMENT 'Start of the window, inclusive',
    window_end DateTime64(3, 'UTC') COMMENT 'End of the window, exclusive',
    quantity Decimal(76, 12) COMMENT 'What was used, in the unit of the meter, exact; an average is rounded to 12 digits, half away from zero; of a gauge the last reading',
    events UInt64 COMMENT 'Number of events behind it'
)
AS SELECT
    meter, meter_version, aggregation, subject, account,
    JSONExtract(dims, 'Map(String, String)') AS dimensions, dims,
    window_start, window_end,
    toDecimal256(multiIf(
        aggregation = 'sum', sum(p.sum_12),
        aggregation = 'count', toInt256(events) * intExp10(12),
        aggregation = 'min', minIf(p.min_12, p.events > 0),
        aggregation = 'max', maxIf(p.max_12, p.events > 0),
        aggregation IN ('latest', 'gauge'), argMaxIf(p.latest_12, p.latest_order, p.events > 0),
        aggregation = 'unique', toInt256(uniqExactArray(p.members)) * intExp10(12),
        /* avg, half away from zero */
        if(sum(p.sum_12) < 0, -1, 1)
            * toInt256(intDivOrZero(2 * abs(sum(p.sum_12)) + events, 2 * toUInt256(events)))
    ), 0) * toDecimal256('0.000000000001', 12) AS quantity,
    sum(p.events) AS events
FROM {database}.usage_partials AS p
GROUP BY meter, meter_version, aggregation, subject, account, dims, window_start, window_end
HAVING events > 0
COMMENT 'Usage of each window. Grain and key: meter, meter_version, subject, account, dims, window_start';

CREATE OR REPLACE VIEW {database}.usage_hourly
(
    meter String COMMENT 'Meter id',
    aggregation String COMMENT 'sum count min max avg latest unique gauge: versions of a meter that differ in it have rows of their own',
    subject String COMMENT 'What used it',
    account String COMMENT 'Who pays',
    dimensions Map(String, String) COMMENT 'Dimensions by their dotted path; a missing one is empty',
    dims String COMMENT 'The same as a JSON object, keys sorted: for grouping and joining',
    hour DateTime64(3, 'UTC') COMMENT 'Start of the hour, UTC',
    quantity Decimal(76, 12) COMMENT 'What was used, in the unit of the meter, exact; an average is rounded to 12 digits, half away from zero; of a gauge the last reading',
    events UInt64 COMMENT 'Number of events behind it'
)
AS SELECT
    meter, aggregation, subject, account,
    JSONExtract(dims, 'Map(String, String)') AS dimensions, dims,
    toStartOfHour(window_start) AS hour,
    toDecimal256(multiIf(
        aggregation = 'sum', sum(p.sum_12),
        aggregation = 'count', toInt256(events) * intExp10(12),
        aggregation = 'min', minIf(p.min_12, p.events > 0),
        aggregation = 'max', maxIf(p.max_12, p.events > 0),
        aggregation IN ('latest', 'gauge'), argMaxIf(p.latest_12, p.latest_order, p.events > 0),
        aggregation = 'unique', toInt256(uniqExactArray(p.members)) * intExp10(12),
        /* avg, half away from zero */
        if(sum(p.sum_12) < 0, -1, 1)
            * toInt256(intDivOrZero(2 * abs(sum(p.sum_12)) + events, 2 * toUInt256(events)))
    ), 0) * toDecimal256('0.000000000001', 12) AS quantity,
    sum(p.events) AS events
FROM {database}.usage_partials AS p
WHERE window_end <= addHours(window_start, 1)
GROUP BY meter, aggregation, subject, account, dims, hour
HAVING events > 0
SETTINGS enable_extended_results_for_datetime_functions = 1 -- else hours before 1970 and after 2106 wrap
COMMENT 'Usage of each hour. Grain and key: meter, aggregation, subject, account, dims, hour. Meters with windows of a day are in usage_daily only. A quantity is merged from states: it can''t be had by adding rows up, except for sum and count';

CREATE OR REPLACE VIEW {database}.usage_daily
(
    meter String COMMENT 'Meter id',
    aggregation String COMMENT 'sum count min max avg latest unique gauge: versions of a meter that differ in it have rows of their own',
    subject String COMMENT 'What used it',
    account String COMMENT 'Who pays',
    dimensions Map(String, String) COMMENT 'Dimensions by their dotted path; a missing one is empty',
    dims String COMMENT 'The same as a JSON object, keys sorted: for grouping and joining',
    day Date32 COMMENT 'Day, UTC',
    quantity Decimal(76, 12) COMMENT 'What was used, in the unit of the meter, exact; an average is rounded to 12 digits, half away from zero; of a gauge the last reading',
    events UInt64 COMMENT 'Number of events behind it'
)
AS SELECT
    meter, aggregation, subject, account,
    JSONExtract(dims, 'Map(String, String)') AS dimensions, dims,
    toDate32(window_start) AS day,
    toDecimal256(multiIf(
        aggregation = 'sum', sum(p.sum_12),
        aggregation = 'count', toInt256(events) * intExp10(12),
        aggregation = 'min', minIf(p.min_12, p.events > 0),
        aggregation = 'max', maxIf(p.max_12, p.events > 0),
        aggregation IN ('latest', 'gauge'), argMaxIf(p.latest_12, p.latest_order, p.events > 0),
        aggregation = 'unique', toInt256(uniqExactArray(p.members)) * intExp10(12),
        /* avg, half away from zero */
        if(sum(p.sum_12) < 0, -1, 1)
            * toInt256(intDivOrZero(2 * abs(sum(p.sum_12)) + events, 2 * toUInt256(events)))
    ), 0) * toDecimal256('0.000000000001', 12) AS quantity,
    sum(p.events) AS events
FROM {database}.usage_partials AS p
GROUP BY meter, aggregation, subject, account, dims, day
HAVING events > 0
COMMENT 'Usage of each day. Grain and key: meter, aggregation, subject, account, dims, day. A quantity is merged from states: it can''t be had by adding rows up, except for sum and count';

CREATE OR REPLACE VIEW {database}.rated_usage
(
    account String COMMENT 'Who pays',
    period_start Date32 COMMENT 'First day of the billing period, UTC',
    segment_start Date32 COMMENT 'First day of the part of the period under one contract, UTC',
    price String COMMENT 'Price id within the plan; empty if unrated',
    meter String COMMENT 'Meter id; empty for a flat price',
    opening UInt8 COMMENT '1 for the row that carries price(0), else 0',
    day Date32 COMMENT 'The day rated, UTC; the segment''s first day on an opening row',
    part String COMMENT 'Which part of a price with an accumulator for each value: the values of its dimensions as a JSON object, or those that it refused; empty for all pooled',
    plan String COMMENT 'Plan id; empty if unrated',
    plan_version UInt32 COMMENT 'Version of the plan',
    model String COMMENT 'Price model, such as graduated; empty if unrated',
    quantity Decimal(76, 12) COMMENT 'What the day added to quantity_total, in the unit of the meter',
    quantity_total Decimal(76, 12) COMMENT 'Quantity from the segment''s start through the day, in the unit of the meter',
    amount Nullable(Decimal(76, 30)) COMMENT 'What the day costs, in currency (major units, not rounded); NULL if unrated',
    currency String COMMENT 'ISO 4217 code of amount; empty if unrated',
    unrated_reason String COMMENT 'Why amount is NULL'
)
AS SELECT
    account, period_start, segment_start, price, meter, opening, day, part, plan, plan_version, model,
    quantity, quantity_total, amount, currency, unrated_reason
FROM {database}.rated_rows FINAL
COMMENT 'Rated usage, day by day. Grain and key: account, period_start, segment_start, price, meter, opening, day, part. The amounts of a segment and price add up to the price of its total, exactly';

CREATE OR REPLACE VIEW {database}.spend_daily
(
    account String COMMENT 'Who pays',
    currency String COMMENT 'ISO 4217 code of amount',
    day Date32 COMMENT 'Day, UTC',
    amount Decimal(76, 30) COMMENT 'What the day costs over all prices, opening rows included, in currency (major units, not rounded)'
)
AS SELECT account, currency, day, sum(assumeNotNull(r.amount)) AS amount
FROM {database}.rated_usage AS r
WHERE r.amount IS NOT NULL
GROUP BY account, currency, day
COMMENT 'Spend of each day. Grain and key: account, currency, day. Unrated usage is not in it: see rated_usage where amount is NULL';

CREATE OR REPLACE VIEW {database}.ledger_current
(
    topic String COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    offset UInt64 COMMENT 'Offset of the next message',
    consumed UInt64 COMMENT 'Events read, counted before they are judged',
    accepted UInt64 COMMENT 'Events aggregated',
    duplicate UInt64 COMMENT 'Events already accepted before',
    late UInt64 COMMENT 'Events that came too late, see late_events',
    invalid UInt64 COMMENT 'Events refused, see dead_letters',
    unmetered UInt64 COMMENT 'Events that no meter takes',
    admitted UInt64 COMMENT 'Of the accepted events, those that came late or were refused first, and were admitted by command',
    balanced UInt8 COMMENT '1 if consumed = accepted + duplicate + late + invalid + unmetered',
    clock DateTime64(3, 'UTC') COMMENT 'Highest record timestamp seen',
    lateness_max_ms UInt64 COMMENT 'Hours of event time that end at or before clock - this are closed, and archived',
    archived_since DateTime64(3, 'UTC') COMMENT 'Of hours that begin before this the archive may lack identities'
)
AS SELECT
    l.topic AS topic, l.partition AS partition, offset, consumed, accepted, duplicate, late, invalid, unmetered, admitted,
    consumed = accepted + duplicate + late + invalid + unmetered AS balanced, clock, lateness_max_ms,
    greatest(l.archived_since, g.before) AS archived_since
FROM {database}.ledger_rows AS l FINAL
LEFT JOIN
(
    SELECT topic, partition, max(r.before) AS before FROM {database}.archive_gap_rows AS r GROUP BY topic, partition
) AS g ON l.topic = g.topic AND l.partition = g.partition
COMMENT 'Where every event went: counts of events since the start of the topic. Grain and key: topic, partition';

CREATE OR REPLACE VIEW {database}.late_events
(
    topic String COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    offset UInt64 COMMENT 'Offset of the message',
    event_index UInt32 COMMENT 'Place of the event in its message',
    reason String COMMENT 'Stable code, then what to do',
    raw String COMMENT 'The event''s original bytes; may be no valid UTF-8',
    record_timestamp DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record',
    type String COMMENT 'Event type, empty if unreadable',
    subject String COMMENT 'Subject, empty if unreadable',
    status String COMMENT 'waiting, or what it came to once it was admitted by command: admitted duplicate unmetered',
    last_reason String COMMENT 'Why the last try to admit it left it waiting; empty without a try'
)
AS SELECT
    l.topic AS topic, l.partition AS partition, l.offset AS offset, l.event_index AS event_index, l.reason AS reason, raw,
    record_timestamp, type, subject,
    multiIf(has(a.verdicts, 'accepted'), 'admitted', has(a.verdicts, 'duplicate'), 'duplicate',
        has(a.verdicts, 'unmetered'), 'unmetered', 'waiting') AS status,
    if(status = 'waiting', a.reason, '') AS last_reason
FROM {database}.late_event_rows AS l FINAL
LEFT JOIN
(
    SELECT letter_topic, letter_partition, letter_offset, letter_index,
        groupUniqArray(toString(verdict)) AS verdicts, argMax(r.reason, r.offset) AS reason
    FROM {database}.admission_rows AS r
    GROUP BY letter_topic, letter_partition, letter_offset, letter_index
) AS a ON l.topic = a.letter_topic AND l.partition = a.letter_partition AND l.offset = a.letter_offset AND l.event_index = a.letter_index
COMMENT 'Events that came too late, and whether they came back. Grain and key: topic, partition, offset, event_index';

CREATE OR REPLACE VIEW {database}.dead_letters
(
    topic String COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    offset UInt64 COMMENT 'Offset of the message',
    event_index UInt32 COMMENT 'Place of the event in its message',
    reason String COMMENT 'Stable code, then what to do',
    raw String COMMENT 'The event''s original bytes; may be no valid UTF-8',
    record_timestamp DateTime64(3, 'UTC') COMMENT 'Timestamp of the Kafka record',
    type String COMMENT 'Event type, empty if unreadable',
    subject String COMMENT 'Subject, empty if unreadable',
    status String COMMENT 'waiting, or what it came to once it was admitted by command: admitted duplicate unmetered',
    last_reason String COMMENT 'Why the last try to admit it left it waiting; empty without a try'
)
AS SELECT
    l.topic AS topic, l.partition AS partition, l.offset AS offset, l.event_index AS event_index, l.reason AS reason, raw,
    record_timestamp, type, subject,
    multiIf(has(a.verdicts, 'accepted'), 'admitted', has(a.verdicts, 'duplicate'), 'duplicate',
        has(a.verdicts, 'unmetered'), 'unmetered', 'waiting') AS status,
    if(status = 'waiting', a.reason, '') AS last_reason
FROM {database}.dead_letter_rows AS l FINAL
LEFT JOIN
(
    SELECT letter_topic, letter_partition, letter_offset, letter_index,
        groupUniqArray(toString(verdict)) AS verdicts, argMax(r.reason, r.offset) AS reason
    FROM {database}.admission_rows AS r
    GROUP BY letter_topic, letter_partition, letter_offset, letter_index
) AS a ON l.topic = a.letter_topic AND l.partition = a.letter_partition AND l.offset = a.letter_offset AND l.event_index = a.letter_index
COMMENT 'Events that were refused, and whether they came back. Grain and key: topic, partition, offset, event_index';

CREATE OR REPLACE VIEW {database}.admissions
(
    topic String COMMENT 'Id of the events topic',
    partition Int32 COMMENT 'Partition of the events topic',
    offset UInt64 COMMENT 'Offset of the admission record',
    event_index UInt32 COMMENT 'Place of the event in the admission record',
    letter_topic String COMMENT 'Topic id of the message that the event came in first',
    letter_partition Int32 COMMENT 'Partition of that message',
    letter_offset UInt64 COMMENT 'Offset of that message',
    letter_index UInt32 COMMENT 'Place of the event in that message',
    verdict String COMMENT 'accepted duplicate late invalid unmetered',
    reason String COMMENT 'Why it is late or invalid: stable code, then what to do',
    identity UInt128 COMMENT 'Digest of source, id and time of the event; 0 where it was not looked at',
    clock DateTime64(3, 'UTC') COMMENT 'The partition''s clock then'
)
AS SELECT topic, partition, offset, event_index, letter_topic, letter_partition, letter_offset, letter_index, verdict, reason,
    identity, clock
FROM {database}.admission_rows FINAL
COMMENT 'Late and refused events that were admitted by command, and what became of them. Grain and key: topic, partition, offset, event_index';

CREATE OR REPLACE VIEW {database}.catalogue
(
    generation UInt64 COMMENT 'Generation of the catalogue',
    kind String COMMENT 'Kind of record: event, meter, plan, account, contract ...',
    id String COMMENT 'Id within the kind',
    version UInt32 COMMENT 'Version of the record; 0 for kinds without versions',
    body String COMMENT 'The record as JSON'
)
AS SELECT generation, kind, id, version, body
FROM {database}.catalogue_rows FINAL
COMMENT 'What was published. Grain and key: generation, kind, id, version';
