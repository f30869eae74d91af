"""The deduplication service: events.raw in, verdicts and clean events out."""
