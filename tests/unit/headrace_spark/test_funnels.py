"""The file of funnels: what is read, and what it is refused with."""

from pathlib import Path

import pytest

from headrace_core.errors import ConfigurationError
from headrace_spark.day_job import read_funnels
from headrace_spark.funnels import DEFAULT_FUNNELS, Funnel, funnels_from


def test_funnels_are_names_and_steps() -> None:
    document = """
    funnels:
      - name: purchase
        steps: [Product Viewed, Order Completed]
      - {name: "sign up", steps: [Visited, Signed Up, Visited]}
    """
    assert funnels_from(document) == (
        Funnel(name="purchase", steps=("Product Viewed", "Order Completed")),
        Funnel(name="sign up", steps=("Visited", "Signed Up", "Visited")),
    )
    assert funnels_from(b"funnels: []") == ()


def test_the_default_has_three_steps() -> None:
    [purchase] = DEFAULT_FUNNELS
    assert purchase.steps == ("Product Viewed", "Product Added", "Order Completed")


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("", "Expected `object`, got `null`"),
        ("funnels: [", "while parsing"),
        (b"\xff", "invalid start byte"),
        ("funnels: [{name: 2026-13-45, steps: [A]}]", "month must be"),
        ("steps: []", "unknown field `steps`"),
        ("funnels: [{steps: [A]}]", "missing required field `name` - at `$.funnels[0]`"),
        ("funnels: [{name: a, steps: []}]", "at `$.funnels[0].steps`"),
        ("funnels: [{name: a, steps: [1]}]", "at `$.funnels[0].steps[0]`"),
        ("funnels: [{name: a, steps: [A], within: 1h}]", "unknown field `within`"),
        ("funnels: [{name: a, steps: [A]}, {name: a, steps: [B]}]", "a: a funnel's name must be its own"),
    ],
)
def test_a_file_that_is_none_says_where_and_how(document: str | bytes, why: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        funnels_from(document)
    assert why in raised.value.why
    assert "HEADRACE_FUNNELS_FILE" in raised.value.what
    assert "HEADRACE_FUNNELS_FILE" in raised.value.fix
    assert raised.value.code == "funnels_unreadable"


@pytest.mark.parametrize("name", ["missing.yaml", "", "faulty.yaml"])
def test_a_file_that_cannot_be_used_is_a_wrong_setting_and_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "faulty.yaml").write_text("funnels: 3")
    with pytest.raises(ConfigurationError) as raised:
        read_funnels(tmp_path / name)
    assert str(tmp_path / name) in raised.value.what
    assert raised.value.why
    assert raised.value.code == "funnels_unreadable"


def test_without_a_file_the_default_is_counted() -> None:
    assert read_funnels(None) == DEFAULT_FUNNELS
