"""What the fields of a spec mean, for `kubectl explain`: by the name of the model and of the field. Pure."""

from __future__ import annotations

__all__ = ["DESCRIPTIONS"]

DESCRIPTIONS: dict[str, dict[str, str]] = {
    "RunSpec": {
        "job": "The batch job.",
        "date": "The UTC event date to work on. Excludes interval.",
        "interval": "The days to work on. Excludes date.",
        "daily": "Parameters of the job daily, which makes a day's new generation and loads it.",
        "reprocess": "Parameters of the job reprocess, which makes rows anew from their raw records.",
        "compact": "Parameters of the job compact, which brings files to their size.",
        "quality": "Parameters of the job quality, which checks published days.",
        "archive": "Parameters of the job archive, which verifies days and expires their hot rows.",
        "retention": "Parameters of the job retention, which deletes what is past its time.",
        "erase": "Parameters of the job erase, which takes people out of all data.",
        "export": "Parameters of the job export, which writes an extract.",
        "size": "A size of this installation: memory, cores and number of executors.",
        "overrides": "What the run takes instead of its size's values, up to the size's bounds.",
        "retry": "When a failed attempt is followed by another.",
        "deadlineSeconds": "Seconds from the start of the first attempt, for all attempts together.",
        "schedulingDeadlineSeconds": "Seconds that the run waits for its key, and each attempt for a place.",
        "concurrencyPolicy": "While another run holds the key: Forbid refuses, Queue waits, Replace cancels it.",
        "concurrencyKey": "What only one run works on at a time; job and days without it.",
        "dryRun": "Do everything but change data.",
        "rerunOf": "The name of the run that this one repeats.",
        "suspend": "Begin no attempt; one that runs goes on. May change.",
        "cancel": "Stop the run. May become true, never false again.",
        "ttlSecondsAfterFinished": "Seconds after its end until the run and its pods are deleted. May change.",
    },
    "Interval": {"start": "The first day.", "end": "The day after the last."},
    "DailyParameters": {
        "catchUp": "Whether to make every other day too that late rows or a neighbour have left behind.",
        "quality": "Whether failing critical expectations stop the swap, are reported, or nothing is checked.",
    },
    "ReprocessParameters": {
        "undo": "The run whose generations are taken back instead.",
        "mappings": "Versions that read the rows of all versions of their mappings, each name@version.",
        "samples": "Changed rows that the report shows.",
    },
    "CompactParameters": {
        "targetBytes": "The size that files are brought to.",
        "verdicts": "Whether each closed day's verdicts are sorted by dedup id too.",
    },
    "QualityParameters": {"fail": "Whether a failing critical expectation is the run's failure."},
    "ArchiveParameters": {"minAgeDays": "A day is archived once it is older than this."},
    "RetentionParameters": {
        "stagedDays": "Days that staged, raw and verdict objects are kept.",
        "manifestDays": "Days that manifests are kept.",
        "generationDays": "Days that replaced generations are kept, for an undo.",
        "orphanHours": "Hours after which an object that nothing names is deleted.",
    },
    "EraseParameters": {"request": "The id of the erasure request in ops.erasure_requests."},
    "ExportParameters": {
        "table": "The aggregate.",
        "format": "Parquet files, or one Hyper file for Tableau.",
    },
    "Overrides": {
        "executors": "Number of executors.",
        "executorMemoryMib": "Heap of each executor in MiB; the pod gets more for Python.",
        "executorCores": "Tasks that each executor runs at once.",
        "driverMemoryMib": "Heap of the driver in MiB; the pod gets more for Python.",
    },
    "Retry": {
        "limit": "Attempts after the first.",
        "initialSeconds": "The pause after the first failure, from its end.",
        "factor": "What each further pause is longer by.",
        "maxSeconds": "The longest pause.",
    },
}
