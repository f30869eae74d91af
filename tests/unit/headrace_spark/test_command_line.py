"""The entry point refuses what makes no sense, with a clear text and the exit code of usage."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from headrace_core.errors import ExitCode
from headrace_core.pipeline_run import JOBS
from headrace_spark.__main__ import main
from headrace_spark.registry import REGISTRY, find_job

SPEC = '{"job": "export", "date": "2026-11-28", "export": {"table": "sessions"}}'


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "spec.json"
    path.write_text(SPEC)
    return path


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_S3_BUCKET", "HEADRACE_KAFKA_BOOTSTRAP", "HEADRACE_WAREHOUSE_DSN"):
        monkeypatch.delenv(name, raising=False)


def arguments(spec: Path, job: str = "export", **changed: str) -> list[str]:
    named = {"run": "export-1", "attempt": "1", "parameters": str(spec), **changed}
    return [job, *(word for name, value in named.items() for word in (f"--{name}", value) if value)]


def test_every_registered_job_is_there_and_is_one_of_the_contract() -> None:
    assert set(REGISTRY) <= set(JOBS)
    for name in REGISTRY:
        assert asyncio.iscoroutinefunction(find_job(name))


def test_jobs_are_listed_and_help_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list-jobs"]) == ExitCode.OK
    assert capsys.readouterr().out.split() == list(REGISTRY)
    assert main(["--help"]) == ExitCode.OK
    assert "--parameters FILE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"job": "exprot"}, "There is no job 'exprot'"),
        ({"job": "daily", "spec": SPEC}, "daily"),
        ({"run": "Bad Name"}, "is no name of a run"),
        ({"run": ""}, "--run is missing"),
        ({"attempt": "0"}, "--attempt is 0"),
        ({"parameters": ""}, "lacks --parameters"),
        ({"parameters": "nowhere.json"}, "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused(
    spec: Path, capsys: pytest.CaptureFixture[str], changed: dict[str, str], says: str
) -> None:
    assert (
        main(arguments(spec, **{name: value for name, value in changed.items() if name != "spec"}))
        == ExitCode.USAGE
    )
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"job": "compact"}', "The command line says export, the parameters say compact"),
        ('{"job": "export", "date": "2026-11-28"}', "export needs its parameters"),
        ('{"job": "export", "spark": {}}', "unknown field"),
        ("{", "no spec of a run"),
    ],
)
def test_a_wrong_spec_is_refused(
    spec: Path, capsys: pytest.CaptureFixture[str], text: str, says: str
) -> None:
    spec.write_text(text)
    assert main(arguments(spec)) == ExitCode.USAGE
    assert says in capsys.readouterr().err


def test_without_a_job_the_way_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == ExitCode.USAGE
    assert "--help" in capsys.readouterr().err
    assert main(["export", "--nonsense"]) == ExitCode.USAGE


def test_missing_settings_are_named(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(spec)) == ExitCode.CONFIGURATION
    assert "HEADRACE_S3_BUCKET is not set" in capsys.readouterr().err
