"""Every image keeps to the same rules, and skaffold builds the same ones from the same files."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

_ROOT = Path(__file__).parents[2]
_DOCKERFILES = sorted(
    path for path in _ROOT.glob("**/Dockerfile") if not {".venv", ".headrace"} & set(path.parts)
)

_OWN_CONTEXT = {"airflow"}
"""A project with its own lock, built from its own folder, and installed by Airflow's chart."""


def _skaffold() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((_ROOT / "skaffold.yaml").read_text(encoding="utf-8"))
    return document


def _patches(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [patch for profile in document["profiles"] for patch in profile.get("patches", [])]


def _artifacts(document: dict[str, Any]) -> list[dict[str, Any]]:
    added = [patch["value"] for patch in _patches(document) if patch["path"] == "/build/artifacts/-"]
    return [*document["build"]["artifacts"], *added]


@pytest.mark.parametrize("path", _DOCKERFILES, ids=lambda path: path.parent.name)
def test_an_image_keeps_to_the_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    stages = re.split(r"(?m)^FROM ", text)
    final = stages[-1]
    assert len(stages) >= 3, "what builds is not what runs"
    assert final.startswith("${BASE_IMAGE}"), "the base is a build argument"
    assert re.search(r"(?m)^USER 10001:10001$", final)
    assert "uv sync" not in final
    assert "pip install" not in final
    syncs = re.findall(r"uv sync [^\n]*", text)
    assert syncs
    assert all("--frozen" in sync and "--no-dev" in sync for sync in syncs)
    for label in ("title", "description", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in final
    context = path.parent if path.parent.name in _OWN_CONTEXT else _ROOT
    for source in re.findall(r"(?m)^COPY (?!--from)(?:--\S+ )?(.+)$", text):
        *copied, _ = source.split()
        assert all((context / name).exists() for name in copied), source


def test_skaffold_builds_these_images() -> None:
    built = {artifact["docker"]["dockerfile"] for artifact in _artifacts(_skaffold())}
    ours = {str(path.relative_to(_ROOT)) for path in _DOCKERFILES if path.parent.name not in _OWN_CONTEXT}
    assert built == ours
    script = (_ROOT / ".ci" / "images").read_text(encoding="utf-8")
    named = dict(re.findall(r"\[([a-z]+)\]=([a-z/]+)", script))
    assert {f"{folder}/Dockerfile" for folder in named.values()} == built | {"airflow/Dockerfile"}
    images = {artifact["image"] for artifact in _artifacts(_skaffold())}
    assert images == {f"headrace-{name}" for name in named if name not in _OWN_CONTEXT}


def test_skaffold_keeps_to_its_schema() -> None:
    schema = Path(os.environ.get("HEADRACE_SHARED", ".")) / "reference" / "schemas" / "skaffold-v4beta14.json"
    if not schema.exists():
        pytest.skip("the schema of skaffold is not on this machine (HEADRACE_SHARED)")
    jsonschema = pytest.importorskip("jsonschema")
    document = _skaffold()
    jsonschema.validate(document, json.loads(schema.read_text(encoding="utf-8")))
    for profile in document["profiles"]:
        jsonschema.validate(
            _patched(document, profile.get("patches", [])), json.loads(schema.read_text(encoding="utf-8"))
        )


def _patched(document: dict[str, Any], patches: list[dict[str, Any]]) -> dict[str, Any]:
    """The document after the patches (add) of a profile, each of which must find its place."""
    changed: dict[str, Any] = json.loads(json.dumps(document))
    for patch in patches:
        *parents, last = patch["path"].strip("/").split("/")
        place: Any = changed
        for name in parents:
            place = place[int(name)] if isinstance(place, list) else place[name]
        assert patch["op"] == "add"
        if last == "-":
            place.append(patch["value"])
        else:
            place[last] = patch["value"]
    return changed


def test_every_path_in_skaffold_is_there() -> None:
    document = _skaffold()
    releases = document["deploy"]["helm"]["releases"]
    assert all((_ROOT / release["chartPath"] / "Chart.yaml").exists() for release in releases)
    values = [
        name
        for patch in _patches(document)
        if patch["path"].endswith("valuesFiles")
        for name in patch["value"]
    ]
    assert values
    assert all((_ROOT / name).exists() for name in values if "{{" not in name)
    jobs = [
        test["executionMode"]["kubernetesCluster"]["jobManifestPath"]
        for profile in document["profiles"]
        for test in profile.get("verify", [])
    ]
    assert jobs
    assert all((_ROOT / name).exists() for name in jobs)
    assert {profile["name"] for profile in document["profiles"]} == {"dev", "ci", "prod", "verify"}


def test_skaffold_sets_values_that_the_chart_has() -> None:
    schema = json.loads((_ROOT / "helm" / "headrace" / "values.schema.json").read_text(encoding="utf-8"))
    (release,) = (r for r in _skaffold()["deploy"]["helm"]["releases"] if r["name"] == "headrace")
    given = {**release["setValueTemplates"]}
    for patch in _patches(_skaffold()):
        found = re.fullmatch(
            r"/deploy/helm/releases/0/(setValueTemplates|setValues)(/(?P<key>.+))?", patch["path"]
        )
        if found:
            given |= {found["key"]: patch["value"]} if found["key"] else patch["value"]
    for path, template in given.items():
        place = schema
        for name in path.split("."):
            place = place["properties"][name]
        image = re.search(r"_headrace_([a-z]+)", str(template))
        assert image is None or (_ROOT / "skaffold.yaml").read_text().count(f"image: headrace-{image[1]}\n")
