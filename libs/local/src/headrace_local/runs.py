"""Runs of batch jobs on this machine, as Kubernetes would do them: submit, look, wait, cancel.

A name stands for one piece of work: the same name with the same spec is the same run, with another spec a conflict. Each
run is driven by a process of its own (`headrace_local.run_driver`), which outlives its caller; where that was killed, the
next `submit` of the same run, or `wait` for it, sends another.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from headrace_core.errors import HeadraceError, RetryLater, UsageError
from headrace_core.pipeline_run import RunSpec
from headrace_core.run_policy import Run, admit, attempt_lost, concurrency_key, run_name, same_work
from headrace_local.cache import exclusive
from headrace_local.errors import ProcessFailedError
from headrace_local.processes import log_tail
from headrace_local.run_driver import holders_of
from headrace_local.run_folder import RunFolder, now_ms, read_runs, run_folders

__all__ = ["LocalRuns"]

_POLL_S = 0.2
_SUBMIT_WITHIN_S = 60.0


class LocalRuns:
    """All runs under ``root``. ``environment`` holds the installation's settings for jobs."""

    def __init__(self, root: Path, environment: Mapping[str, str]) -> None:
        self.root = root.resolve()
        self._environment = dict(environment)
        self._drivers: dict[str, subprocess.Popen[bytes]] = {}

    def submit(self, spec: RunSpec, name: str | None = None) -> Run:
        """Begin a run, or go on with the one that has this name; the run as it is then.

        Without a name the active run that does the same is the one, else a new one is named after job and days. UsageError
        where the name is another work's; RetryLater where another run holds the same key and the policy is Forbid.
        """
        (self.root / "runs").mkdir(parents=True, exist_ok=True)
        with exclusive(self.root / "runs" / ".lock", _SUBMIT_WITHIN_S):
            folder = RunFolder(self.root, name or self._name(spec))
            run = self._known(folder, spec) if folder.exists else self._new(folder, spec)
        self._ensure_driven(folder, run)
        return run

    def get(self, name: str) -> Run:
        """A run as it is. BadData where there is none."""
        folder = RunFolder(self.root, name)
        return self._seen(folder, folder.load())

    def all(self) -> list[Run]:
        """Every run whose record can be read, the newest first."""
        runs = [self._seen(RunFolder(self.root, run.name), run) for run in read_runs(self.root)[0]]
        return sorted(runs, key=lambda run: (run.created_ms, run.name), reverse=True)

    def unreadable(self) -> list[HeadraceError]:
        """What is wrong with the runs that `all` leaves out, each to be told to people."""
        return read_runs(self.root)[1]

    def cancel(self, name: str) -> Run:
        """Ask a run to end, and see to it that somebody hears it; the run as it is now."""
        folder = RunFolder(self.root, name)
        run = folder.load()
        if not run.finished:
            folder.ask_to_cancel()
            self._ensure_driven(folder, run)
        return folder.load()

    def wait(
        self, name: str, *, within_s: float | None = None, tell: Callable[[Run], None] | None = None
    ) -> Run:
        """Wait until a run is finished; the run. ``tell`` hears of it again and again. TimeoutError after ``within_s``."""
        deadline = None if within_s is None else time.monotonic() + within_s
        while not (run := self.tend(name)).finished:
            if tell is not None:
                tell(run)
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"{name} is still {run.state}")
            time.sleep(_POLL_S)
        if tell is not None:
            tell(run)
        return run

    def tend(self, name: str) -> Run:
        """The run by its record; one that goes on has somebody who drives it. `ProcessFailedError` where that one fails."""
        folder = RunFolder(self.root, name)
        run = folder.load()
        self._ensure_driven(folder, run)
        return run

    def logs(self, name: str) -> list[Path]:
        """The log of each attempt, in order. BadData where there is no such run."""
        folder = RunFolder(self.root, name)
        return [folder.log(attempt.number) for attempt in folder.load().attempts]

    def _seen(self, folder: RunFolder, run: Run) -> Run:
        """A run as it is: an attempt that runs by the record, while nobody drives the run, has ended with its driver.

        Nothing is written or locked: that is for the next driver, which this look must not keep out.
        """
        if run.state != "Running" or folder.driven:
            return run
        again = folder.load()  # a driver that has ended since the first look has written down how
        return attempt_lost(run, now_ms()) if again == run else again

    def _name(self, spec: RunSpec) -> str:
        for run in self.all():
            if not run.finished and same_work(run.spec, spec):
                return run.name
        return run_name(spec, [folder.name for folder in run_folders(self.root)])

    def _known(self, folder: RunFolder, spec: RunSpec) -> Run:
        run = folder.load()
        if not same_work(run.spec, spec):
            raise UsageError(
                f"The name {folder.name} is another run's.",
                why="A name stands for one piece of work, and this spec asks for another.",
                fix="Give another --name, or none.",
                code="run_conflict",
            )
        return run

    def _new(self, folder: RunFolder, spec: RunSpec) -> Run:
        run = Run(name=folder.name, spec=spec, created_ms=now_ms())
        holders = holders_of(self.root, run)
        if admit(spec, holders) == "refuse":
            raise RetryLater(
                f"Another run works on {concurrency_key(spec)}.",
                why=f"{', '.join(holders)} is not finished, and the concurrency policy is Forbid.",
                fix=f"Wait for it (`headrace run get {holders[0]} --wait`), or cancel it.",
                code="concurrency_forbidden",
            )
        folder.save(run)
        return run

    def _ensure_driven(self, folder: RunFolder, run: Run) -> None:
        """Start a driver where the run has none; a second one finds the folder taken and leaves."""
        driver = self._drivers.get(folder.name)
        if driver is not None and (code := driver.poll()) is not None:
            del self._drivers[folder.name]
            if code > 0:
                raise _driver_failed(folder, code)
        if run.finished or folder.name in self._drivers or folder.driven:
            return
        command = [sys.executable, "-m", "headrace_local.run_driver", str(self.root), folder.name]
        with folder.driver_log.open("ab") as log:
            self._drivers[folder.name] = subprocess.Popen(  # noqa: S603 - this package's own program
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


def _driver_failed(folder: RunFolder, code: int) -> ProcessFailedError:
    """A driver that was killed is replaced; one that failed would fail again."""
    return ProcessFailedError(
        f"What drives the run {folder.name} ended with status {code} before the run did.",
        why=log_tail(folder.driver_log).strip() or "It said nothing.",
        fix=f"Mend that; then `headrace run get {folder.name} --wait` goes on. All it said: {folder.driver_log}.",
        code="local.run_driver",
    )
