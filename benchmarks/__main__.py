"""``python -m benchmarks [--only NAME,…] [--rounds N]``: measure figures.

A table for people on standard error, one JSON line each on standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import sys

from benchmarks import ack_cost, dedup, ingest, operator, spark_daily, staging, warehouse_load
from benchmarks.measure import Figure, report

__all__ = ["main"]


def _figures() -> list[Figure]:
    return [
        *ingest.FIGURES,
        ack_cost.ACK_COST,
        *dedup.FIGURES,
        staging.STAGE_PARQUET,
        *warehouse_load.FIGURES,
        spark_daily.SPARK_DAILY,
        *operator.FIGURES,
    ]


def main() -> int:
    """Run the chosen figures."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--only", default="", help="names of figures or groups, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds of each side")
    options = parser.parse_args()
    wanted = {name for name in options.only.split(",") if name}
    figures = [figure for figure in _figures() if not wanted or {figure.name, figure.group} & wanted]
    if not figures:
        print(
            f"There is no figure or group named so. Known: {', '.join(f.name for f in _figures())}",
            file=sys.stderr,
        )
        return 64
    for figure in figures:
        ours, ordinary = asyncio.run(figure.run(options.rounds))
        report(figure, ours, ordinary)
    return 0


if __name__ == "__main__":
    sys.exit(main())
