"""What an exception of Spark means for the run: foreign errors become the project's own here. Pure.

Spark tells causes by the names of Java classes in its messages; those that say who is to blame are listed. What is not
listed is a defect of the job.
"""

from __future__ import annotations

import re

from headrace_core.errors import BadData, Bug, ConfigurationError, HeadraceError, Unavailable

__all__ = ["explain_spark_error"]

_DENIED = re.compile(
    r"AccessDeniedException|InvalidAccessKeyId|SignatureDoesNotMatch|NoAuthWithAWSException|UnknownStoreException"
)
_TORN = re.compile(
    r"is not a Parquet file|CANNOT_READ_FILE_FOOTER|FAILED_READ_FILE|ParquetDecodingException"
    r"|FileNotFoundException|FILE_NOT_EXIST|PATH_NOT_FOUND|could not be decoded|errors\.BadData"
)
_AWAY = re.compile(
    r"java\.net\.\w+Exception|SocketTimeoutException|UnknownHostException|SdkClientException|AWSClientIOException"
    r"|AWSServiceThrottledException|AWSStatus5\d\d|HttpHostConnectException|ConnectTimeoutException"
)
_DEAD = re.compile(
    r"Py4JNetworkError|Answer from Java side is empty|Connection refused|OutOfMemoryError|ExecutorLostFailure"
)


def explain_spark_error(kind: str, text: str) -> HeadraceError:
    """The error for an exception of class ``kind`` with this text: who is to blame decides what becomes of the run."""
    said = f"{kind}: {text}"
    why = said[:1_000]
    if _DENIED.search(said):
        return ConfigurationError(
            "The object store refuses Spark.",
            why=why,
            fix="Check HEADRACE_S3_BUCKET, the credentials and what their policy allows.",
            code="store_denied",
        )
    if _DEAD.search(said):
        return Unavailable(
            "Spark's processes ended.",
            why=why,
            fix="Most often memory: raise HEADRACE_SPARK_DRIVER_MEMORY_MIB or the run's size.",
            code="spark_lost",
        )
    if _AWAY.search(said):
        return Unavailable(
            "The object store did not answer Spark.",
            why=why,
            fix="Check that the store is up and reachable; the run is tried again.",
            code="store_unavailable",
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
