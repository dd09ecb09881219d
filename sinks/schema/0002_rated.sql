-- Plan, plan version, model and currency are columns, not key: a new version of a plan replaces what the old one said.
CREATE TABLE IF NOT EXISTS {database}.rated_rows
(
    account String COMMENT 'Who pays',
    plan LowCardinality(String) COMMENT 'Plan id; empty where nothing rates the usage',
    plan_version UInt32 COMMENT 'Version of the plan',
    price LowCardinality(String) COMMENT 'Price id within the plan; empty where nothing rates the usage',
    model LowCardinality(String) COMMENT 'Price model, such as graduated',
    meter LowCardinality(String) COMMENT 'Meter id; empty for a flat price',
    currency LowCardinality(String) COMMENT 'ISO 4217 code of amount',
    period_start Date32 COMMENT 'First day of the billing period, UTC',
    segment_start Date32 COMMENT 'First day of the part of the period under one contract, UTC',
    day Date32 COMMENT 'The day rated, UTC; the segment''s first day on an opening row',
    part String COMMENT 'Which part of a price with an accumulator for each value: the values of its dimensions as a JSON object, or those that it refused; empty for all pooled',
    opening UInt8 COMMENT '1 for the row that carries price(0), else 0',
    quantity Decimal(76, 12) COMMENT 'What the day added to quantity_total, in the unit of the meter',
    quantity_total Decimal(76, 12) COMMENT 'Quantity from the segment''s start up to and including the day, in the unit of the meter',
    amount Nullable(Decimal(76, 30)) COMMENT 'price(total up to the day) - price(total up to the day before), in currency, not rounded; NULL if unrated',
    unrated_reason LowCardinality(String) COMMENT 'Why amount is NULL',
    generation UInt64 COMMENT 'Generation of the catalogue that rated it',
    revision UInt64 COMMENT 'Grows with every change of the account''s usage within a generation',
    version UInt128 MATERIALIZED bitOr(bitShiftLeft(toUInt128(generation), 64), toUInt128(revision))
        COMMENT 'generation * 2^64 + revision: the highest one is the row'
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(period_start)
ORDER BY (account, period_start, segment_start, price, meter, opening, day, part)
COMMENT 'Rated days, one row for each account, period, segment, price, meter, part and day, and one opening row. Query rated_usage or spend_daily instead';

-- A table of before prices with parts.
ALTER TABLE {database}.rated_rows
    ADD COLUMN IF NOT EXISTS part String COMMENT 'Which part of a price with an accumulator for each value: the values of its dimensions as a JSON object, or those that it refused; empty for all pooled' AFTER day,
    MODIFY ORDER BY (account, period_start, segment_start, price, meter, opening, day, part);
