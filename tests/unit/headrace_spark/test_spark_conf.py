"""The session's configuration follows the settings, and the lock of jars follows the pyspark wheel."""

from __future__ import annotations

from importlib import metadata, resources
from pathlib import Path

import pytest

from headrace_local.lockfile import parse_lock
from headrace_local.spark_jars import SPARK_LOCK
from headrace_spark.settings import SparkSettings
from headrace_spark.spark_conf import is_local, local_cores, process_conf, secret_conf, session_conf

SECRET = "s3cr3t-s3cr3t"


def settings(**given: object) -> SparkSettings:
    return SparkSettings.model_validate(
        {
            "kafka_bootstrap": "127.0.0.1:9092",
            "s3_bucket": "lake",
            "warehouse_dsn": "postgresql://u:p@127.0.0.1/d",
            **given,
        }
    )


def with_keys(**given: object) -> SparkSettings:
    return settings(s3_access_key_id="key", s3_secret_access_key=SECRET, **given)


def test_secrets_stay_out_of_what_a_command_line_shows() -> None:
    given = with_keys(s3_endpoint="http://127.0.0.1:8333")
    shown = session_conf(given) | process_conf(given, Path("/tmp/s"), [], Path("/l"), 2)
    assert SECRET not in str(shown)
    assert secret_conf(given) == {"fs.s3a.access.key": "key", "fs.s3a.secret.key": SECRET}
    assert "Simple" in shown["spark.hadoop.fs.s3a.aws.credentials.provider"]


def test_without_keys_the_platform_gives_them() -> None:
    conf = session_conf(settings())
    assert secret_conf(settings()) == {}
    assert "spark.hadoop.fs.s3a.aws.credentials.provider" not in conf
    assert "spark.hadoop.fs.s3a.endpoint" not in conf


@pytest.mark.parametrize(
    ("endpoint", "ssl"), [("http://127.0.0.1:1", "false"), ("https://s3.example", "true")]
)
def test_another_s3_server_is_addressed_by_path(endpoint: str, ssl: str) -> None:
    conf = session_conf(settings(s3_endpoint=endpoint))
    assert conf["spark.hadoop.fs.s3a.endpoint"] == endpoint
    assert conf["spark.hadoop.fs.s3a.path.style.access"] == "true"
    assert conf["spark.hadoop.fs.s3a.connection.ssl.enabled"] == ssl


def test_dictionaries_are_for_columns_with_few_values() -> None:
    conf = session_conf(settings())
    assert conf["spark.hadoop.parquet.enable.dictionary"] == "false"
    assert conf["spark.hadoop.parquet.enable.dictionary#source"] == "true"
    assert "spark.hadoop.parquet.enable.dictionary#event_id" not in conf


@pytest.mark.parametrize(
    ("master", "cores"),
    [("local", 1), ("local[3]", 3), ("local[2,4]", 2), ("local[*]", 8), ("local[*,2]", 8)],
)
def test_a_local_master_says_its_cores(master: str, cores: int) -> None:
    assert local_cores(master, machine=8) == cores
    assert is_local(settings(spark_master=master))


def test_a_path_with_blanks_is_one_option() -> None:
    conf = process_conf(settings(), Path("/tmp/my jobs"), [], Path("/l"), 2)
    assert '"-Djava.io.tmpdir=/tmp/my jobs"' in conf["spark.driver.extraJavaOptions"]
    assert conf["spark.driver.memory"] == "2048m"


def test_a_cluster_keeps_what_the_platform_set() -> None:
    assert not is_local(settings(spark_master="k8s://https://kubernetes.default.svc"))
    assert not {"spark.master", "spark.driver.memory", "spark.jars"} & session_conf(settings()).keys()


def test_the_lock_matches_the_hadoop_client_of_the_wheel() -> None:
    jars = {
        jar.artifact: jar
        for jar in parse_lock(resources.files("headrace_local").joinpath(SPARK_LOCK).read_text())
    }
    wheel = [Path(str(file)).name for file in metadata.files("pyspark") or ()]
    assert f"hadoop-client-api-{jars['hadoop-aws'].version}.jar" in wheel
    scala = jars["spark-hadoop-cloud_2.13"].artifact.rpartition("_")[2]
    assert any(name.startswith(f"scala-library-{scala}.") for name in wheel)
    # What the wheel brings is not fetched a second time: the class path would hold two.
    assert not [jar.file_name for jar in jars.values() if jar.file_name in wheel]
