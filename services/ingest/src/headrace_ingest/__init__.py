"""The ingestion service: HTTP in, events.raw out."""
