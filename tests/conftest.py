"""Fixtures and rules of the whole test tree."""

import pytest

from tests.support.stack import fresh_stack, mark_stack_tests, second_s3, stack, stack_folder
from tests.support.warehouses import migrated_template, warehouse_dsn

__all__ = [
    "fresh_stack",
    "migrated_template",
    "pytest_collection_modifyitems",
    "second_s3",
    "stack",
    "stack_folder",
    "warehouse_dsn",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests that need servers."""
    mark_stack_tests(items)
