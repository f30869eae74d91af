"""The key file on disk: read at start, reloaded when it changes, kept when it breaks."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from headrace_core.clock import ManualClock
from headrace_core.errors import ConfigurationError, ExitCode
from headrace_core.write_keys import key_entry
from headrace_ingest import key_store
from headrace_ingest.__main__ import main
from headrace_ingest.key_store import KeyStore
from headrace_runtime.process import Lifecycle
from headrace_runtime.settings import ProcessSettings
from headrace_runtime.telemetry import Telemetry


def write(path: Path, keys: dict[str, list[str]], pepper: bytes | None = None) -> None:
    entries = [
        {
            "source": source,
            "keys": [
                {"id": entry.id, "hash": entry.hash} for entry in (key_entry(key, pepper) for key in names)
            ],
        }
        for source, names in keys.items()
    ]
    path.write_text(json.dumps({"version": 1, "sources": entries}), encoding="utf-8")


def test_rotation_takes_effect_on_refresh(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    write(path, {"web": ["old"]})
    store = KeyStore(path, None)
    assert not store.refresh()
    write(path, {"web": ["old", "new"]})
    assert store.refresh()
    found_old, found_new = store.find("old"), store.find("new")
    assert found_old is not None
    assert found_old is found_new
    write(path, {"web": ["new"]})
    assert store.refresh()
    assert store.find("old") is None


def test_a_broken_file_keeps_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    write(path, {"web": ["k"]})
    store = KeyStore(path, None)
    for content in (b"{", b"\xff", b"version: 2", b"- my-secret-key"):
        path.write_bytes(content)
        with pytest.raises(ConfigurationError) as caught:
            store.refresh()
        assert "my-secret-key" not in str(caught.value)
        assert store.find("k") is not None
    path.unlink()
    with pytest.raises(ConfigurationError):
        store.refresh()
    assert store.find("k") is not None


def test_a_missing_file_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        KeyStore(tmp_path / "none.yaml", None)
    assert caught.value.exit_code == ExitCode.CONFIGURATION
    assert "HEADRACE_WRITE_KEYS_FILE" in caught.value.fix


def test_peppered_keys(tmp_path: Path) -> None:
    path, pepper = tmp_path / "keys.yaml", tmp_path / "pepper"
    pepper.write_bytes(b"pepper\n")
    write(path, {"web": ["k"]}, b"pepper")
    assert KeyStore(path, pepper).find("k") is not None
    with pytest.raises(ConfigurationError):
        KeyStore(path, None)
    pepper.write_bytes(b"other")
    assert KeyStore(path, pepper).find("k") is None


def test_hash_key_prints_an_entry_and_no_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read, write_end = os.pipe()
    os.write(write_end, b"my-key\n")
    os.close(write_end)
    with os.fdopen(read, encoding="utf-8") as given:
        monkeypatch.setattr("sys.stdin", given)
        assert main(["hash-key"]) == ExitCode.OK
    printed = capsys.readouterr().out
    assert "my-key" not in printed
    path = tmp_path / "keys.json"
    path.write_text(
        json.dumps({"version": 1, "sources": [{"source": "web", "keys": [json.loads(printed)]}]}),
        encoding="utf-8",
    )
    assert KeyStore(path, None).find("my-key") is not None


def test_hash_key_makes_a_new_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hash-key", "--new"]) == ExitCode.OK
    out, err = capsys.readouterr()
    key = err.rsplit(" ", 1)[1].strip()
    assert json.loads(out)["hash"] == key_entry(key).hash


async def test_the_file_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_store, "_LOOK_EVERY_S", 0.01)
    path = tmp_path / "keys.yaml"
    write(path, {"web": ["old"]})
    store = KeyStore(path, None)
    settings = ProcessSettings.model_validate({"instance": "test"})
    telemetry = Telemetry("test", "test")
    life = Lifecycle("test", settings, ManualClock(), telemetry)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.follow(life))
        path.write_bytes(b"{")
        await asyncio.sleep(0.05)
        assert store.find("old") is not None
        write(path, {"web": ["new"]})
        async with asyncio.timeout(5):
            while store.find("new") is None:  # noqa: ASYNC110  (the store tells nobody)
                await asyncio.sleep(0.01)
        life.stopping.set()
    assert store.find("old") is None
    telemetry.shutdown()
