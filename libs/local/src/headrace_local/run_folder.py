"""The records of runs on this machine: a folder per run, written by its driver alone, read by anybody.

<root>/runs/<name>/run.json        the run: spec, state, attempts, result
<root>/runs/<name>/cancel          somebody wants it to end
<root>/runs/<name>/attempt-1/      spec.json, result.json (what the job announced), log, scratch/
<root>/runs/<name>/driver.log      what its driver had to say
"""

import contextlib
import os
import shutil
import time
from pathlib import Path

import msgspec

from headrace_core.errors import BadData, HeadraceError
from headrace_core.pipeline_run import RunResult, check_run_name, encode_run
from headrace_core.run_policy import Run
from headrace_local.folder import holder_of

__all__ = ["RunFolder", "now_ms", "read_runs", "run_folders"]

_RECORD = "run.json"
_CANCEL = "cancel"


class RunFolder:
    """One run's folder under ``root``, whether it is there or not."""

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / "runs" / check_run_name(name)
        self.name = name

    @property
    def exists(self) -> bool:
        """Whether there is such a run."""
        return (self.path / _RECORD).exists()

    @property
    def driven(self) -> bool:
        """Whether a process looks after the run now."""
        return holder_of(self.path) is not None

    @property
    def driver_log(self) -> Path:
        """Where the driver writes what goes wrong with itself."""
        return self.path / "driver.log"

    def log(self, attempt: int) -> Path:
        """Everything that an attempt wrote."""
        return self.attempt(attempt) / "log"

    def attempt(self, number: int) -> Path:
        """The folder of an attempt."""
        return self.path / f"attempt-{number}"

    def load(self) -> Run:
        """The record, with a wish to cancel that its driver has not seen yet. BadData where it cannot be read."""
        try:
            run = msgspec.json.decode((self.path / _RECORD).read_bytes(), type=Run)
        except FileNotFoundError:
            raise BadData(
                f"There is no run {self.name}.",
                why=f"{self.path} holds none.",
                fix="`headrace run list` shows those that there are.",
                code="run_unknown",
            ) from None
        except (msgspec.MsgspecError, OSError) as error:
            raise BadData(
                f"The record of run {self.name} cannot be read.",
                why=f"{self.path / _RECORD}: {error}",
                fix="Remove the folder; what the run did to the lake stays.",
                code="run_unreadable",
            ) from error
        if (self.path / _CANCEL).exists() and not run.spec.cancel:
            return msgspec.structs.replace(run, spec=msgspec.structs.replace(run.spec, cancel=True))
        return run

    def save(self, run: Run) -> None:
        """Replace the record in one step; it is on disk when this returns."""
        self.path.mkdir(parents=True, exist_ok=True)
        draft = self.path / f"{_RECORD}.new"
        with draft.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path / _RECORD)

    def ask_to_cancel(self) -> None:
        """Leave word that the run shall end."""
        (self.path / _CANCEL).touch()

    def begin_attempt(self, run: Run, number: int) -> Path:
        """Make the folder of an attempt; the file with its parameters."""
        folder = self.attempt(number)
        (folder / "scratch").mkdir(parents=True, exist_ok=True)
        spec = folder / "spec.json"
        spec.write_bytes(encode_run(run.spec))
        return spec

    def end_attempt(self, number: int) -> RunResult | None:
        """Remove what Spark left of an attempt; what the job announced of it, None where it did not get so far."""
        folder = self.attempt(number)
        shutil.rmtree(folder / "scratch", ignore_errors=True)
        try:
            return msgspec.json.decode((folder / "result.json").read_bytes(), type=RunResult)
        except (OSError, msgspec.MsgspecError):
            return None


def run_folders(root: Path) -> list[RunFolder]:
    """The folders of all runs under ``root``, by name; what cannot be the name of a run is none."""
    folders = []
    for name in sorted(path.parent.name for path in (root / "runs").glob(f"*/{_RECORD}")):
        with contextlib.suppress(BadData):
            folders.append(RunFolder(root, name))
    return folders


def read_runs(root: Path) -> tuple[list[Run], list[HeadraceError]]:
    """All runs under ``root``, by name, and what is wrong with those that cannot be read: they stop no other."""
    runs: list[Run] = []
    unreadable: list[HeadraceError] = []
    for folder in run_folders(root):
        try:
            runs.append(folder.load())
        except HeadraceError as error:
            unreadable.append(error)
    return runs, unreadable


def now_ms() -> int:
    """The time that records bear: milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000
