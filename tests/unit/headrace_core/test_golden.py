"""The same records give the same identities and rows, for as long as the versions say so."""

import json
from typing import Any

import msgspec
import pytest
from tests.support.golden import FOLDER, digests, identities, load, recorded, results

from headrace_core.events import RULES_VERSION
from headrace_core.keys import FINGERPRINT_VERSION

_CORPUS = load()
_WRITTEN: dict[str, Any] = json.loads((FOLDER / "results.json").read_bytes())
_RESULTS: dict[str, Any] = json.loads(msgspec.json.encode(results(_CORPUS)))


def test_every_case_has_a_name_of_its_own() -> None:
    assert len({case.name for case in _CORPUS.cases}) == len(_CORPUS.cases) == len(_WRITTEN["results"])


@pytest.mark.parametrize("name", [case.name for case in _CORPUS.cases])
def test_golden_result(name: str) -> None:
    assert _RESULTS[name] == _WRITTEN["results"][name]


def test_golden_identities() -> None:
    assert identities(_CORPUS) == _WRITTEN["identities"]


def test_changed_results_need_a_raised_version() -> None:
    assert digests() == recorded()[f"{RULES_VERSION}.{FINGERPRINT_VERSION}"], (
        "Results changed. If they should: raise RULES_VERSION (and FINGERPRINT_VERSION where identities changed), "
        "then run: python -m tests.support.golden"
    )
