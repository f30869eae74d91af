"""Contracts and pure decisions. Standard library, msgspec and xxhash only: no I/O, no clock, no environment."""
