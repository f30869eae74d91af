"""Fixtures and rules of the whole test tree."""

import pytest

from tests.support.stack import fresh_stack, mark_stack_tests, stack, stack_folder

__all__ = ["fresh_stack", "pytest_collection_modifyitems", "stack", "stack_folder"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests that need servers."""
    mark_stack_tests(items)
