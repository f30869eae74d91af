"""What an exception of Spark means for the run: foreign errors become the project's own here. Pure.

Spark tells causes by the names of Java classes in its messages, and in the messages of their causes; those that say who is
to blame are listed. Lines of stack traces are left out: a class that only passed an error on is not to blame. What is not
listed is a defect of the job.
"""

from __future__ import annotations

import re

from headrace_core.errors import BadData, Bug, ConfigurationError, HeadraceError, Unavailable

__all__ = ["explain_spark_error", "explain_start_error", "text_of"]

_DENIED = re.compile(
    r"AccessDeniedException|InvalidAccessKeyId|SignatureDoesNotMatch|NoAuthWithAWSException|UnknownStoreException"
    r"|errors_store\.StoreDenied|errors\.ConfigurationError"
)
_TORN = re.compile(
    r"is not a Parquet file|CANNOT_READ_FILE_FOOTER|FAILED_READ_FILE|ParquetDecodingException"
    r"|FileNotFoundException|FILE_NOT_EXIST|PATH_NOT_FOUND|could not be decoded|errors\.BadData"
)
_AWAY = re.compile(
    r"java\.net\.\w+Exception|SocketTimeoutException|UnknownHostException|SdkClientException|AWSClientIOException"
    r"|AWSServiceThrottledException|AWSStatus5\d\d|HttpHostConnectException|ConnectTimeoutException"
    r"|NoHttpResponseException|ConnectionPoolTimeoutException|ConnectionClosedException|ApiCall\w*TimeoutException"
    r"|javax\.net\.ssl\.\w+Exception|InterruptedIOException|errors_store\.StoreUn\w+|errors\.Unavailable"
)
_DEAD = re.compile(
    r"Py4JNetworkError|Answer from Java side is empty|OutOfMemoryError|ExecutorLostFailure|RpcTimeoutException"
    r"|java\.util\.concurrent\.TimeoutException|SparkContext was shut down|stopped SparkContext"
    r"|Connection\w+Error|BrokenPipeError|TimeoutError|EOFError"
)
_SETTINGS = re.compile(r"MASTER_URL|Could not parse Master URL|IllegalArgumentException")
_WHY_CHARACTERS = 1_000
_FRAME = re.compile(r"^\s*at .*\n?", re.MULTILINE)


def text_of(error: BaseException | None) -> str:
    """What an exception and its causes say. A dead JVM is not asked for the words of its own exceptions."""
    said: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        try:
            said.append(f"{type(error).__name__}: {error}")
        except Exception as silent:
            said.append(f"{type(error).__name__}, which cannot be read: {type(silent).__name__}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return "\n".join(said)


def explain_spark_error(text: str) -> HeadraceError:
    """The error for an exception of which `text_of` is ``text``: who is to blame decides what becomes of the run."""
    said = _FRAME.sub("", text)
    why = said.strip()[:_WHY_CHARACTERS]
    if _DENIED.search(said):
        return _denied(why)
    if _AWAY.search(said):
        return Unavailable(
            "The object store did not answer Spark.",
            why=why,
            fix="Check that the store is up and reachable; the run is tried again.",
            code="store_unavailable",
        )
    if _DEAD.search(said):
        return Unavailable(
            "Spark's processes ended, or do not answer.",
            why=why,
            fix="Most often memory: raise HEADRACE_SPARK_DRIVER_MEMORY_MIB or the run's size.",
            code="spark_lost",
        )
    if _TORN.search(said):
        return BadData(
            "A file of the lake is missing or cannot be read.",
            why=why,
            fix="Restore the object from its bucket version; the day stays as it is until it is readable.",
            code="file_torn",
        )
    return Bug(
        "A Spark job failed.",
        why=why,
        fix="This is a defect: report it with the log of the run.",
        code="spark_failed",
    )


def explain_start_error(text: str) -> HeadraceError:
    """As `explain_spark_error`, for an exception while the session is opened: there is no job yet that could be defect."""
    said = _FRAME.sub("", text)
    why = said.strip()[:_WHY_CHARACTERS]
    if _DENIED.search(said):
        return _denied(why)
    if _SETTINGS.search(said):
        return ConfigurationError(
            "Spark refuses its settings.",
            why=why,
            fix="Correct HEADRACE_SPARK_MASTER, or what spark-defaults.conf says.",
            code="spark_settings",
        )
    return Unavailable(
        "Spark did not start.",
        why=why,
        fix="Its own words stand above; a JVM of 17 or newer must be found by JAVA_HOME or on the path.",
        code="spark_start",
    )


def _denied(why: str) -> ConfigurationError:
    return ConfigurationError(
        "The object store refuses Spark.",
        why=why,
        fix="Check HEADRACE_S3_BUCKET, the credentials and what their policy allows.",
        code="store_denied",
    )
