"""What a Spark job on this machine finds in its environment beside the installation's settings: a Java, jars, a scratch folder."""

import os
from collections.abc import Mapping
from pathlib import Path

from headrace_local.spark_jars import fetch_spark_jars
from headrace_local.spark_java import java_home_for_spark

__all__ = ["spark_environment"]


def spark_environment(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Settings of an attempt whose files lie in ``folder``. Blocks: jars that the cache lacks are fetched.

    ``environ`` (this process's own without one) says where to look; jars that it names are left alone. `JavaMissingError` and
    `FetchError` say what to do.
    """
    given = os.environ if environ is None else environ
    found = {
        "HEADRACE_SPARK_SCRATCH_DIR": str(folder / "scratch"),
        "JAVA_HOME": str(java_home_for_spark(given, Path.home())),
    }
    if "HEADRACE_SPARK_JARS" not in given:
        found["HEADRACE_SPARK_JARS"] = str(fetch_spark_jars(given, Path.home()))
    return found
