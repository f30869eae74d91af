"""The jars that Spark needs beside its own: S3A and the committers, as `s3a.lock` names them.

    python -m headrace_local.spark_jars

fetches them and prints their folder, the value of HEADRACE_SPARK_JARS.
"""

import hashlib
import os
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from headrace_local.cache import cache_folder
from headrace_local.errors import LocalStackError
from headrace_local.locked_jars import locked_jars

__all__ = ["SPARK_LOCK", "fetch_spark_jars"]

SPARK_LOCK = "s3a.lock"
"""hadoop-aws has the version of the hadoop-client in the pyspark wheel; the SDK comes in modules, 13 MB, not as its bundle."""


def fetch_spark_jars(environ: Mapping[str, str], home: Path) -> Path:
    """The folder that holds these jars and no others, fetched on first use. Blocks. `FetchError` if one cannot be had."""
    lock = resources.files("headrace_local").joinpath(SPARK_LOCK).read_bytes()
    # One folder per lock: another version never mixes with this one, and one that runs keeps its files.
    folder = cache_folder(environ, home) / "spark-jars" / hashlib.sha256(lock).hexdigest()[:12]
    locked_jars(SPARK_LOCK, folder, environ, home)
    return folder


def main() -> int:
    """Print the folder; status 0 if all jars are there."""
    try:
        print(fetch_spark_jars(os.environ, Path.home()))  # noqa: T201 - the answer of a program
    except LocalStackError as error:
        print(error, file=sys.stderr)  # noqa: T201 - the same
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
