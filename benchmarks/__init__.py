"""Benchmarks: each figure beside the ordinary alternative, interleaved in the same run."""
