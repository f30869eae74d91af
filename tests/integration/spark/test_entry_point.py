"""A job as a process: what it leaves behind, and how it ends."""

from __future__ import annotations

import io
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest
from tests.support.lake_days import put_user_day
from tests.support.spark import spark_environment

from headrace_core.errors import ExitCode
from headrace_core.paths import lake_prefix, run_result_key
from headrace_core.pipeline_run import ExportParameters, Interval, RunResult, RunSpec, encode_run
from headrace_local.stack import LocalStack
from headrace_runtime.s3 import S3ObjectStore
from headrace_spark.jobs.export import Extract
from headrace_spark.settings import SparkSettings

DEADLINE_S = 30.0
ROOT = Path(__file__).parents[3]


@dataclass
class Jobs:
    """Starts jobs as processes on the stack."""

    environment: dict[str, str]
    folder: Path
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def termination_log(self) -> Path:
        return Path(self.environment["HEADRACE_TERMINATION_LOG"])

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "err.log").open("wb"),
        )
        self.started.append(process)
        return process

    def run(self, spec: RunSpec, name: str, attempt: int = 1) -> tuple[int, RunResult]:
        path = self.folder / "spec.json"
        path.write_bytes(encode_run(spec))
        words = [spec.job, "--run", name, "--attempt", str(attempt), "--parameters", str(path)]
        process = self.start("headrace_spark", *words)
        out, _ = process.communicate(timeout=240)
        return process.returncode, msgspec.json.decode(out, type=RunResult)

    def errors(self) -> str:
        return (self.folder / "err.log").read_text()


@pytest.fixture
def jobs(stack: LocalStack, spark_settings: SparkSettings, tmp_path: Path) -> Iterator[Jobs]:
    environment = spark_environment(stack) | {"HEADRACE_TERMINATION_LOG": str(tmp_path / "termination.json")}
    made = Jobs(environment, tmp_path)
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=30)


@pytest.fixture
def store(spark_settings: SparkSettings) -> S3ObjectStore:
    return S3ObjectStore(spark_settings)


async def test_an_export_leaves_an_extract_and_a_result(jobs: Jobs, store: S3ObjectStore) -> None:
    year, name = secrets.randbelow(900) + 1_000, f"export-{secrets.token_hex(4)}"
    for day, parts in ((1, [20, 30]), (2, []), (4, [50])):
        await put_user_day(store, f"{year}-01-0{day}", f"{name}-{day}", parts)
    interval = Interval(start=f"{year}-01-01", end=f"{year}-01-05")
    spec = RunSpec(job="export", interval=interval, export=ExportParameters(table="user_day"))
    code, result = jobs.run(spec, name)
    assert (code, result.outcome, result.exit_code) == (0, "succeeded", 0), jobs.errors()
    assert result.counts == {
        "rows": 100,
        "files": 1,
        "bytes": result.counts["bytes"],
        "days_without_generation": 1,
    }
    assert [(day.event_date[-2:], day.sequence, day.counts) for day in result.days] == [
        ("01", 1, {"rows": 50}),
        ("02", 1, {"rows": 0}),
        ("03", None, {}),
        ("04", 1, {"rows": 50}),
    ]
    kept = await store.get(run_result_key(name, 1), deadline_s=DEADLINE_S)
    assert msgspec.json.decode(kept, type=RunResult) == result
    assert msgspec.json.decode(jobs.termination_log.read_bytes(), type=RunResult) == result
    assert [stage.name for stage in result.stages] == ["read pointers", "start spark", "export user_day"]
    assert result.stages[-1].rows == 100
    assert (result.stages[-1].cpu_seconds or 0) > 0
    [key] = result.days[0].reports
    extract = msgspec.json.decode(await store.get(key, deadline_s=DEADLINE_S), type=Extract)
    [file] = extract.files
    table = pq.read_table(io.BytesIO(await store.get(file.key, deadline_s=DEADLINE_S)))
    assert len(set(table["user_key"].to_pylist())) == file.rows == 100
    assert '"stage": "export user_day"' in jobs.errors()


async def test_a_generation_that_lies_is_bad_data_and_no_extract(jobs: Jobs, store: S3ObjectStore) -> None:
    date, name = f"{secrets.randbelow(900) + 2_100}-01-01", f"export-{secrets.token_hex(4)}"
    await put_user_day(store, date, name, [20])
    spec = RunSpec(job="export", date=date, export=ExportParameters(table="user_day"))
    [file] = await store.list(lake_prefix("user_day", date, name), deadline_s=DEADLINE_S)
    await store.put(file.key, b"torn", deadline_s=DEADLINE_S)
    code, result = jobs.run(spec, name)
    assert (code, result.outcome) == (ExitCode.BAD_DATA, "failed"), jobs.errors()
    assert result.error is not None
    assert result.error.code == "file_torn"
    kept = await store.get(run_result_key(name, 1), deadline_s=DEADLINE_S)
    assert msgspec.json.decode(kept, type=RunResult) == result


async def test_a_dry_run_starts_no_spark_and_writes_nothing(jobs: Jobs, store: S3ObjectStore) -> None:
    date, name = f"{secrets.randbelow(900) + 3_100}-01-01", f"export-{secrets.token_hex(4)}"
    await put_user_day(store, date, name, [20])
    spec = RunSpec(job="export", date=date, dry_run=True, export=ExportParameters(table="user_day"))
    code, result = jobs.run(spec, name)
    assert (code, result.dry_run, result.counts["rows"]) == (0, True, 20)
    assert [stage.name for stage in result.stages] == ["read pointers"]
    assert await store.list(f"exports/user_day/run={name}/", deadline_s=DEADLINE_S) == []


async def test_an_extract_for_tableau_needs_no_spark(jobs: Jobs, store: S3ObjectStore) -> None:
    pytest.importorskip("tableauhyperapi")
    date, name = f"{secrets.randbelow(900) + 4_100}-01-01", f"export-{secrets.token_hex(4)}"
    spec = RunSpec(job="export", date=date, export=ExportParameters(table="user_day", format="hyper"))
    code, result = jobs.run(spec, name)
    assert (code, result.counts["rows"], result.counts["files"]) == (0, 0, 1), jobs.errors()
    assert [stage.name for stage in result.stages] == ["read pointers", "export user_day"]
    found = await store.list(f"exports/user_day/run={name}/", deadline_s=DEADLINE_S)
    assert [entry.key.rsplit("/", 1)[1] for entry in found] == ["index.json", "user_day.hyper"]


async def test_sigterm_cancels_spark_and_says_what_was_done(jobs: Jobs, store: S3ObjectStore) -> None:
    name = f"slow-{secrets.token_hex(4)}"
    process = jobs.start("tests.support.slow_job", name)
    while "Spark is busy now." not in jobs.errors():
        assert process.poll() is None, jobs.errors()
        time.sleep(0.1)  # noqa: ASYNC251 - nothing else runs here
    time.sleep(1)  # noqa: ASYNC251 - let the endless job begin
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == ExitCode.RETRY_LATER, jobs.errors()
    result = msgspec.json.decode(out, type=RunResult)
    assert (result.outcome, result.exit_code) == ("failed", ExitCode.RETRY_LATER)
    assert result.error is not None
    assert result.error.code == "stopped"
    assert [day.event_date for day in result.days] == ["2026-11-27"]
    assert [stage.name for stage in result.stages] == ["start spark", "quick", "endless"]
    kept = await store.get(run_result_key(name, 1), deadline_s=DEADLINE_S)
    assert msgspec.json.decode(kept, type=RunResult) == result
