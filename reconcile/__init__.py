"""Recounts the log with a reader of its own and compares what it finds with Redis, ClickHouse and the ledger.

Nothing here comes from the processors' decoder, fold or windows: a fault in those must show as a difference. What is
shared is the catalogue, the price functions of `rating`, and the reading of what was stored, which is what is checked.
"""
