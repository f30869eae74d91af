"""The CEL rules of the CRD: what the decoder checks between fields, and what may change. Pure.

They say at `kubectl apply` what `headrace_core.pipeline_run.decode_spec` would say later; tests hold both to the same cases.
"""

from __future__ import annotations

from headrace_core.pipeline_run import JOBS, RunSpec
from headrace_operator.names import LONGEST_RUN_NAME

__all__ = ["MUTABLE_FIELDS", "NAME_RULES", "SPEC_RULES"]

Rule = dict[str, str]

MUTABLE_FIELDS = frozenset({"suspend", "cancel", "ttlSecondsAfterFinished"})
_DAYS = "has(self.date) || has(self.interval)"
_START, _END = "self.interval.start", "self.interval.end"
"""Times to CEL, since the format of both fields is a date."""


def _fields() -> tuple[str, ...]:
    return RunSpec.__struct_encode_fields__


def _immutable(field: str) -> Rule:
    return {
        "rule": f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
        "message": f"{field} cannot change: create another run",
    }


NAME_RULES: tuple[Rule, ...] = (
    {
        "rule": f"self.metadata.name.size() <= {LONGEST_RUN_NAME} && !self.metadata.name.contains('.')",
        "message": f"the name of a run is a DNS label of 1 to {LONGEST_RUN_NAME} characters",
    },
)
"""On the object: the name."""

SPEC_RULES: tuple[Rule, ...] = (
    *(
        {
            "rule": f"!has(self.{job}) || self.job == '{job}'",
            "message": f"parameters of {job} belong to the job {job}",
        }
        for job in JOBS
    ),
    {
        "rule": "!(has(self.date) && has(self.interval))",
        "message": "date and interval exclude each other",
    },
    {
        "rule": f"!(self.job in ['daily', 'quality', 'export']) || {_DAYS}",
        "message": "the job needs a date or an interval",
    },
    {
        "rule": f"self.job != 'reprocess' || {_DAYS} || (has(self.reprocess) && has(self.reprocess.undo))",
        "message": "reprocess needs a date, an interval, or a run to undo",
    },
    {
        "rule": "self.job != 'erase' || has(self.erase)",
        "message": "erase needs its parameters",
    },
    {
        "rule": "self.job != 'export' || has(self.export)",
        "message": "export needs its parameters",
    },
    {
        "rule": f"!has(self.interval) || ({_START} < {_END} && {_END} - {_START} <= duration('1488h'))",
        "message": "the interval must hold 1 to 62 days; end is not part of it",
    },
    *(_immutable(field) for field in _fields() if field not in MUTABLE_FIELDS),
    {
        "rule": "!oldSelf.cancel || self.cancel",
        "message": "a cancelled run stays cancelled: create another run",
    },
)
"""On the spec: parameters, days, immutability."""
