"""The one Spark session of a test run, on the S3 server of the shared stack."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from headrace_local.spark_jars import fetch_spark_jars
from headrace_local.spark_java import java_home_for_spark
from headrace_local.stack import LocalStack
from headrace_runtime.settings import ENV_PREFIX
from headrace_spark.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["lake_folder", "spark", "spark_environment", "spark_settings", "spark_settings_of"]


# Most of what a short-lived JVM spends is the compiling of code that it runs a few times.
_QUICK_JVM = {"SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=1"}
# So is the code that Spark generates for each plan. Jobs that tests start as processes, and those on a cluster, have it.
_INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


def spark_environment(stack: LocalStack) -> dict[str, str]:
    """The environment of a job's process on a stack: two cores and a small heap."""
    return {
        **os.environ,
        **stack.environment(),
        **_QUICK_JVM,
        "JAVA_HOME": str(java_home_for_spark(os.environ, Path.home())),
        "HEADRACE_SPARK_MASTER": "local[2]",
        "HEADRACE_SPARK_DRIVER_MEMORY_MIB": "1024",
        "HEADRACE_SPARK_JARS": str(fetch_spark_jars(os.environ, Path.home())),
    }


def spark_settings_of(stack: LocalStack) -> SparkSettings:
    """Settings of a job on a stack, as its process would read them."""
    prefix = ENV_PREFIX.lower()
    named = {name.lower(): value for name, value in spark_environment(stack).items()}
    given = {name.removeprefix(prefix): value for name, value in named.items() if name.startswith(prefix)}
    return SparkSettings.model_validate(given)


@pytest.fixture(scope="session")
def spark_settings(stack: LocalStack) -> SparkSettings:
    """Settings of the shared session."""
    return spark_settings_of(stack)


@pytest.fixture(scope="session")
def spark(spark_settings: SparkSettings) -> Iterator[SparkSession]:
    """The session that all tests of this run share; started at its first use. Tests write under `lake_folder`."""
    from headrace_spark.session import spark_session  # pyspark takes a second that unit tests need not spend

    os.environ.setdefault("JAVA_HOME", str(java_home_for_spark(os.environ, Path.home())))
    os.environ.update(_QUICK_JVM)
    with spark_session(spark_settings, more=_INTERPRETED) as session:
        yield session


@pytest.fixture
def lake_folder(spark_settings: SparkSettings) -> str:
    """The address of a folder in the stack's bucket that no other test uses, without a trailing slash."""
    return f"s3a://{spark_settings.s3_bucket}/tests/{secrets.token_hex(6)}"
