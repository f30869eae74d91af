"""The configuration of a Spark session as a function of the settings. Pure: no environment, no files.

What every job relies on (time zone, ANSI, Parquet, committer) is set here alone. What belongs to the processes (master,
heap, jars) is set for a local master only; in a cluster it comes from spark-defaults.conf, which the platform writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace_core.events import CleanEvent, columns_of
from headrace_spark.settings import SparkSettings

__all__ = ["is_local", "local_cores", "process_conf", "secret_conf", "session_conf"]

_S3A = "spark.hadoop.fs.s3a."
_ROW_GROUP_ROWS = 128 * 1024
_LOOPBACK = "127.0.0.1"


def is_local(settings: SparkSettings) -> bool:
    """Whether driver and executors are this one process."""
    return settings.spark_master.startswith("local")


def local_cores(master: str, *, machine: int) -> int:
    """The cores of a local master: one of ``local``, N of ``local[N]`` and ``local[N,F]``, the machine's of ``local[*]``."""
    inside = master.partition("[")[2].partition("]")[0].partition(",")[0]
    if not inside:
        return 1
    return int(inside) if inside.isdigit() else machine


def session_conf(settings: SparkSettings) -> dict[str, str]:
    """What every session has, wherever it runs."""
    return {
        "spark.app.name": "headrace",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.adaptive.enabled": "true",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Without it an exception does not say its causes, and an outage looks like a torn file.
        "spark.sql.pyspark.jvmStacktrace.enabled": "true",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        **_parquet(),
        **_store(settings),
        **_committer(),
    }


def process_conf(
    settings: SparkSettings, scratch: Path, jars: Sequence[Path], log4j: Path, cores: int
) -> dict[str, str]:
    """What a local driver has besides; all its files lie in ``scratch``."""
    options = (
        "-XX:+UseParallelGC",
        "-XX:-UsePerfData",
        "-Duser.timezone=UTC",
        _option("java.io.tmpdir", scratch),
        _option("derby.system.home", scratch),
        _option("log4j2.configurationFile", log4j),
    )
    return {
        "spark.master": settings.spark_master,
        "spark.driver.memory": f"{settings.spark_driver_memory_mib}m",
        "spark.driver.extraJavaOptions": " ".join(options),
        "spark.driver.host": _LOOPBACK,
        "spark.driver.bindAddress": _LOOPBACK,
        "spark.jars": ",".join(str(jar) for jar in jars),
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "tables"),
        f"{_S3A}buffer.dir": str(scratch / "s3a"),
        "spark.hadoop.hadoop.tmp.dir": str(scratch / "hadoop"),
        # Adaptive execution merges what turns out small; a local shuffle gains nothing from more.
        "spark.sql.shuffle.partitions": str(max(4, 2 * cores)),
        "spark.default.parallelism": str(max(2, cores)),
    }


def secret_conf(settings: SparkSettings) -> dict[str, str]:
    """Hadoop properties that no command line may show: a driver's is readable by every user of its machine."""
    if settings.s3_access_key_id is None or settings.s3_secret_access_key is None:
        return {}
    return {
        "fs.s3a.access.key": settings.s3_access_key_id.get_secret_value(),
        "fs.s3a.secret.key": settings.s3_secret_access_key.get_secret_value(),
    }


def _parquet() -> dict[str, str]:
    """Files as the loader writes them: zstd-1, timestamps in microseconds, dictionaries where they pay."""
    return {
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.hadoop.parquet.compression.codec.zstd.level": "1",
        "spark.hadoop.parquet.block.row.count.limit": str(_ROW_GROUP_ROWS),
        "spark.hadoop.parquet.enable.dictionary": "false",
        **{
            f"spark.hadoop.parquet.enable.dictionary#{column.name}": "true"
            for column in columns_of(CleanEvent)
            if column.low_cardinality
        },
    }


def _store(settings: SparkSettings) -> dict[str, str]:
    """S3A on the installation's bucket. Without keys it finds the ambient credentials of the platform."""
    conf = {
        f"{_S3A}endpoint.region": settings.s3_region,
        f"{_S3A}connection.establish.timeout": "5s",
        f"{_S3A}connection.request.timeout": "60s",
        f"{_S3A}attempts.maximum": "5",
        # Two years of files that are read often, then hardly: S3 moves them between its tiers by itself.
        f"{_S3A}create.storage.class": "intelligent_tiering",
    }
    if settings.s3_endpoint is not None:
        conf[f"{_S3A}endpoint"] = settings.s3_endpoint
        conf[f"{_S3A}path.style.access"] = "true"
        conf[f"{_S3A}connection.ssl.enabled"] = str(settings.s3_endpoint.startswith("https://")).lower()
    if secret_conf(settings):
        conf[f"{_S3A}aws.credentials.provider"] = "org.apache.hadoop.fs.s3a.SimpleAWSCredentialsProvider"
    return conf


def _committer() -> dict[str, str]:
    """The magic committer: tasks upload parts, the job completes them; nothing is renamed, and no marker is left."""
    return {
        f"{_S3A}committer.name": "magic",
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3a": (
            "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
        ),
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
        "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
        "spark.sql.parquet.output.committer.class": (
            "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter"
        ),
    }


def _option(name: str, path: Path) -> str:
    """A system property; quoted, since a path may hold blanks."""
    return f'"-D{name}={path}"'
