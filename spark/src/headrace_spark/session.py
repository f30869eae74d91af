"""Opens and closes the one Spark session of a process."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from headrace_core.errors import ConfigurationError
from headrace_spark.settings import SparkSettings
from headrace_spark.spark_conf import is_local, local_cores, process_conf, secret_conf, session_conf
from headrace_spark.spark_errors import explain_start_error, text_of

__all__ = ["close_session", "open_session", "spark_session"]


def open_session(
    settings: SparkSettings, scratch: Path, *, more: Mapping[str, str] | None = None
) -> SparkSession:
    """Start Spark, or return the session that this process has. Blocks for seconds: call it in a thread.

    ``scratch`` takes Spark's temporary files. Raises ConfigurationError where the jars of S3A are missing or Spark refuses
    its settings, Unavailable where it does not start.
    """
    conf = session_conf(settings)
    if is_local(settings):
        # Python workers run what this process runs, whatever `python3` is on the path.
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        log4j = Path(str(resources.files("headrace_spark").joinpath("log4j2.properties")))
        cores = local_cores(settings.spark_master, machine=os.cpu_count() or 1)
        conf |= process_conf(settings, scratch, _jars(settings), log4j, cores)
    builder = SparkSession.builder
    for name, value in {**conf, **(more or {})}.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
        _hadoop(session, secret_conf(settings))
    except (Py4JError, PySparkException, OSError) as error:
        raise explain_start_error(text_of(error)) from error
    return session


def close_session(session: SparkSession) -> None:
    """Stop Spark; no harm if its JVM is gone already."""
    session.stop()


@contextmanager
def spark_session(
    settings: SparkSettings, *, more: Mapping[str, str] | None = None
) -> Iterator[SparkSession]:
    """A session with a scratch folder of its own, which is removed in the end."""
    folder = settings.spark_scratch_dir
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="headrace-spark-", dir=folder))
    try:
        session = open_session(settings, scratch, more=more)
        try:
            yield session
        finally:
            close_session(session)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _jars(settings: SparkSettings) -> list[Path]:
    """The jars of S3A."""
    folder = settings.spark_jars
    jars = [] if folder is None else sorted(folder.resolve().rglob("*.jar"))
    if not any(jar.name.startswith("hadoop-aws-") for jar in jars):
        raise ConfigurationError(
            "Spark has no jars to reach the object store with.",
            why="HEADRACE_SPARK_JARS is not set." if folder is None else f"{folder} holds no hadoop-aws.",
            fix="Set HEADRACE_SPARK_JARS to the folder that `python -m headrace_local.spark_jars` prints.",
            code="spark_jars",
        )
    return jars


def _hadoop(session: SparkSession, properties: Mapping[str, str]) -> None:
    configuration = session.sparkContext._jsc.hadoopConfiguration()
    for name, value in properties.items():
        configuration.set(name, value)
