"""Who is to blame for an exception of Spark decides the exit code."""

from __future__ import annotations

import pytest

from headrace_core.errors import ExitCode
from headrace_spark.spark_errors import explain_spark_error, explain_start_error, text_of


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
        f"Py4JJavaError: An error occurred while calling o1.parquet.\n: {text}\n\tat x"
    )
    assert error.exit_code == code
    assert text in error.why
    assert error.fix


def test_a_dead_jvm_is_no_defect_of_the_job() -> None:
    assert explain_spark_error("Py4JNetworkError: Answer from Java side is empty").code == "spark_lost"
    assert explain_spark_error("ConnectionRefusedError: [Errno 111] Connection refused").code == "spark_lost"


@pytest.mark.parametrize(
    "cause",
    [
        "java.net.ConnectException: Connection refused",
        "java.net.SocketTimeoutException: Read timed out",
        "software.amazon.awssdk.core.exception.ApiCallAttemptTimeoutException: HTTP request did not complete",
        "org.apache.http.NoHttpResponseException: localhost:9000 failed to respond",
        "javax.net.ssl.SSLException: Connection reset",
        "headrace_runtime.errors_store.StoreUnavailable: The object store does not answer.",
    ],
)
def test_an_outage_of_the_store_is_told_wherever_in_the_chain_it_is(cause: str) -> None:
    """A file that could not be read because the store was away is not torn."""
    error = explain_spark_error(
        "Py4JJavaError: [FAILED_READ_FILE.NO_HINT] Encountered error while reading file s3a://lake/a.parquet."
        f"\n\tat org.apache.spark.X\nCaused by: java.io.IOException: no more tries\n\tat y\nCaused by: {cause}"
    )
    assert (error.exit_code, error.code) == (ExitCode.UNAVAILABLE, "store_unavailable")


def test_a_class_that_only_passed_an_error_on_is_not_to_blame() -> None:
    frames = "\tat software.amazon.awssdk.core.exception.SdkClientException$BuilderImpl.build(X.java:1)\n"
    assert explain_spark_error(f"Py4JJavaError: [DIVIDE_BY_ZERO]\n{frames}").exit_code == ExitCode.BUG


def test_the_text_of_an_error_has_its_causes_and_survives_a_silent_jvm() -> None:
    class Silent(Exception):
        def __str__(self) -> str:
            raise ConnectionRefusedError

    error = Silent()
    error.__cause__ = TimeoutError("no answer")
    assert text_of(error).splitlines() == [
        "Silent, which cannot be read: ConnectionRefusedError",
        "TimeoutError: no answer",
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("PySparkRuntimeError: [JAVA_GATEWAY_EXITED] Java gateway process exited", "spark_start"),
        ("Py4JJavaError: [MASTER_URL_INVALID] Master must either be yarn or start with", "spark_settings"),
        ("Py4JJavaError: UnknownStoreException: s3a://lake/", "store_denied"),
        ("Py4JJavaError: something new", "spark_start"),
    ],
)
def test_what_hinders_a_start_is_no_defect_of_a_job(text: str, code: str) -> None:
    error = explain_start_error(text)
    assert error.code == code
    assert error.exit_code in {ExitCode.UNAVAILABLE, ExitCode.CONFIGURATION}
