"""Who is to blame for an exception of Spark decides the exit code."""

from __future__ import annotations

import pytest

from headrace_core.errors import ExitCode
from headrace_spark.spark_errors import explain_spark_error


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("java.nio.file.AccessDeniedException: s3a://lake/x: 403 Forbidden", ExitCode.CONFIGURATION),
        ("org.apache.hadoop.fs.s3a.UnknownStoreException: s3a://lake/: NoSuchBucket", ExitCode.CONFIGURATION),
        ("java.net.ConnectException: Connection refused", ExitCode.UNAVAILABLE),
        ("org.apache.hadoop.fs.s3a.AWSClientIOException: SdkClientException: timeout", ExitCode.UNAVAILABLE),
        ("[CANNOT_READ_FILE_FOOTER] s3a://lake/a.parquet is not a Parquet file", ExitCode.BAD_DATA),
        ("java.io.FileNotFoundException: No such file or directory: s3a://lake/a.parquet", ExitCode.BAD_DATA),
        ("java.lang.OutOfMemoryError: Java heap space", ExitCode.UNAVAILABLE),
        ("[DIVIDE_BY_ZERO] Division by zero", ExitCode.BUG),
    ],
)
def test_the_cause_decides(text: str, code: ExitCode) -> None:
    error = explain_spark_error(
        "Py4JJavaError", f"An error occurred while calling o1.parquet.\n: {text}\n\tat x"
    )
    assert error.exit_code == code
    assert text in error.why
    assert error.fix


def test_a_dead_jvm_is_no_defect_of_the_job() -> None:
    assert explain_spark_error("Py4JNetworkError", "Answer from Java side is empty").code == "spark_lost"
