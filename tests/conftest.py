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
    "second_s3",
    "spark",
    "spark_settings",
    "stack",
    "stack_folder",
    "warehouse_dsn",
]

# A busy machine must not fail a property, so nothing is timed. The same examples run each time; a search for new ones is
# HYPOTHESIS_PROFILE=search, and what it finds becomes an @example.
_UNTIMED = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.register_profile("repeatable", _UNTIMED, derandomize=True, database=None)
hypothesis.settings.register_profile("search", _UNTIMED, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests that need servers."""
    mark_stack_tests(items)
