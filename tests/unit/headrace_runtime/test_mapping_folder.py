"""Mapping files in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_runtime import mapping_folder
from headrace_runtime.mapping_folder import MappingFolder

FILE = "name: rows\nversion: {version}\nsource: web\nid: '{{row}}'\nfields: {{user_id: customer}}\nconstants: {{event_name: Sold}}\n"


def write(folder: Path, version: int) -> None:
    (folder / f"rows-{version}.yaml").write_text(FILE.format(version=version), encoding="utf-8")


@pytest.fixture(autouse=True)
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_folder, "_LOOK_AGAIN_AFTER_S", 0.0)


def test_a_new_file_is_found_when_it_is_asked_for(tmp_path: Path) -> None:
    folder = MappingFolder(tmp_path)
    assert folder.get("rows@1") is None
    write(tmp_path, 1)
    found = folder.get("rows@1")
    assert found is not None
    assert found.spec.source == "web"
    write(tmp_path, 2)
    assert folder.get("rows@1") is found
    assert folder.get("rows@2") is not None
    assert set(folder) == {"rows@1", "rows@2"}


def test_a_version_never_changes(tmp_path: Path) -> None:
    write(tmp_path, 1)
    folder = MappingFolder(tmp_path)
    first = folder["rows@1"]
    (tmp_path / "rows-1.yaml").write_text(FILE.format(version=1).replace("Sold", "Bought"), encoding="utf-8")
    assert folder.get("rows@3") is None
    assert folder["rows@1"] is first


def test_a_broken_file_hurts_no_other(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / "a.yaml").write_bytes(b"{")
    (tmp_path / "b.yaml").write_text("name: x", encoding="utf-8")
    (tmp_path / "c.yml").write_bytes(b"\xff\xfe\xff")
    assert MappingFolder(tmp_path).get("rows@1") is not None


def test_no_folder_no_mappings() -> None:
    assert MappingFolder(None).get("rows@1") is None
