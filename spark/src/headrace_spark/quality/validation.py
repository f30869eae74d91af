"""Runs the checks of a day through Great Expectations: a suite per kind, each a batch of measures, and its Data Docs.

Great Expectations is imported when it is used: that takes seconds, which no other job and no test of a pure module should
pay. Its context lives in memory and asks nothing of the network.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, get_args

from headrace_core.errors import Bug, ConfigurationError
from headrace_spark.quality.catalogue import Suite
from headrace_spark.quality.checks import Check, Expected
from headrace_spark.quality.docs_pages import self_contained
from headrace_spark.quality.report import range_text

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.data_context.data_context.ephemeral_data_context import EphemeralDataContext

__all__ = ["Validation", "validate"]

_SUITES: tuple[Suite, ...] = get_args(Suite)


@dataclass(frozen=True, slots=True)
class Validation:
    """Whether each check passed, by label; Data Docs by file name; what ran it."""

    passed: Mapping[str, bool]
    pages: Mapping[str, bytes]
    engine: str


def validate(expected: Expected, *, pages: bool = True) -> Validation:
    """Validate the checks of a day. Blocks for about a second. Raises ConfigurationError where Great Expectations is not
    installed, Bug where it decides otherwise than the checks themselves: then neither can be trusted."""
    gx = _great_expectations()
    context = _context(gx)
    passed: dict[str, bool] = {}
    rendered: dict[str, bytes] = {}
    for suite in _SUITES:
        checks = [check for check in expected.checks if check.expectation.suite == suite]
        if not checks:
            continue
        result = _run(gx, context, f"{suite} {expected.event_date}", checks)
        passed |= _outcomes(result)
        if pages:
            rendered[f"{suite}.html"] = _page(result)
    _agree(expected.checks, passed)
    return Validation(passed, rendered, f"great_expectations {gx.__version__}")


def _great_expectations() -> ModuleType:
    with warnings.catch_warnings():
        # What its dependencies say about each other is not ours to mend.
        warnings.simplefilter("ignore")
        try:
            import great_expectations as gx
        except ImportError as error:
            raise ConfigurationError(
                "Data quality cannot be checked: Great Expectations is not installed.",
                why=str(error),
                fix="Run the job on Python 3.11 to 3.13, for which it is installed, or with quality: off.",
                code="quality_engine",
            ) from error
    return gx


def _context(gx: ModuleType) -> EphemeralDataContext:
    """A context in memory: no files, no usage statistics, no progress bars."""
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context: EphemeralDataContext = gx.get_context(project_config=config, mode="ephemeral")
    return context


def _run(
    gx: ModuleType, context: EphemeralDataContext, name: str, checks: Sequence[Check]
) -> ExpectationSuiteValidationResult:
    """Validate one suite. Its batch is one row with a column per check."""
    import pandas as pd

    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name)
    suite = gx.ExpectationSuite(name=name, expectations=[_expectation(gx, check) for check in checks])
    definition = gx.ValidationDefinition(name=name, data=batch, suite=context.suites.add(suite))
    # Python numbers: the pages cannot show those of NumPy 2.
    frame = pd.DataFrame({check.label: [float(check.measured)] for check in checks}, dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result: ExpectationSuiteValidationResult = context.validation_definitions.add(definition).run(
            batch_parameters={"dataframe": frame}
        )
    return result


def _expectation(gx: ModuleType, check: Check) -> object:
    """The largest (and only) value of a check's column: the one expectation whose page shows what was measured."""
    values = f" ({', '.join(check.values)})" if check.values else ""
    return gx.expectations.ExpectColumnMaxToBeBetween(
        column=check.label,
        min_value=check.at_least,
        max_value=check.at_most,
        severity=check.expectation.severity,
        description=f"{check.expectation.sentence} Expected {range_text(check)}: {check.because}.{values}",
        meta={"name": check.name, "subject": check.subject},
    )


def _outcomes(result: ExpectationSuiteValidationResult) -> dict[str, bool]:
    """Whether each column's expectation passed; one that could not be evaluated has not."""
    configs = ((entry.expectation_config, entry.success) for entry in result.results)
    return {config.kwargs["column"]: bool(success) for config, success in configs if config is not None}


def _page(result: ExpectationSuiteValidationResult) -> bytes:
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaPageView

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        page: str = DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(result))  # type: ignore[no-untyped-call]
    return self_contained(page).encode()


def _agree(checks: Sequence[Check], passed: Mapping[str, bool]) -> None:
    differ = [check.label for check in checks if passed.get(check.label) != check.holds]
    if differ:
        raise Bug(
            f"Great Expectations and the checks disagree about {', '.join(differ)}.",
            why="Both decide whether the same number is in the same range.",
            fix="Report it with the metrics of the day.",
            code="quality_disagrees",
        )
