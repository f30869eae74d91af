"""Fixtures and rules of the whole test tree."""

import os

import hypothesis
import pytest

from tests.support.spark import lake_folder, spark, spark_settings
from tests.support.stack import fresh_stack, mark_stack_tests, second_s3, stack, stack_folder
from tests.support.warehouses import migrated_template, warehouse_dsn

__all__ = [
    "fresh_stack",
    "lake_folder",
    "migrated_template",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "second_s3",
    "spark",
    "spark_settings",
    "stack",
    "stack_folder",
    "warehouse_dsn",
]

_PORTS_PER_WORKER, _PORT_RANGES = 2_000, 8

# A busy machine must not fail a property, so nothing is timed. The same examples run each time; a search for new ones is
# HYPOTHESIS_PROFILE=search, and what it finds becomes an @example.
_UNTIMED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.register_profile("repeatable", _UNTIMED, derandomize=True, database=None)
hypothesis.settings.register_profile("search", _UNTIMED, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_configure() -> None:
    """A worker's servers have ports of their own: one that is down for a while must find its port free again."""
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker:
        first = 15_000 + int(worker.removeprefix("gw")) % _PORT_RANGES * _PORTS_PER_WORKER
        os.environ["HEADRACE_LOCAL_PORTS"] = f"{first}-{first + _PORTS_PER_WORKER - 1}"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests that need servers, before xdist reads the groups."""
    mark_stack_tests(items)
