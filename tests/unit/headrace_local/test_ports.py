"""Ports come from the range that was named; a range that is none is told."""

from __future__ import annotations

import pytest

from headrace_core.errors import ConfigurationError
from headrace_local.ports import choose_ports, port_range


def test_ports_come_from_the_named_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_LOCAL_PORTS", "21000-21099")
    chosen = choose_ports([f"server-{number}" for number in range(20)])
    assert len(set(chosen.values())) == 20
    assert all(21_000 <= port <= 21_099 for port in chosen.values())


def test_without_a_name_it_is_below_what_the_kernel_hands_out() -> None:
    assert (port_range({})[0], port_range({})[-1]) == (15_000, 31_999)


@pytest.mark.parametrize("given", ["15000", "2-1", "0-500", "15000-15001", "65000-70000", "a-b"])
def test_what_is_no_range_is_refused(given: str) -> None:
    with pytest.raises(ConfigurationError, match="HEADRACE_LOCAL_PORTS"):
        port_range({"HEADRACE_LOCAL_PORTS": given})
