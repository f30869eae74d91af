"""All statements of the load on PostgreSQL by name, as the golden file holds them."""

from datetime import date

from headrace_core.ddl import create_partition, create_stage_table
from headrace_core.tables import EVENTS, stage_table
from headrace_core.warehouse_sql import (
    COARSER,
    EXPIRED_DAYS,
    LOCK,
    MISSING_TABLES,
    copy_into,
    recompute_minutes,
    recompute_user_days,
    recompute_user_first_seen,
    resum_given,
)
from headrace_loader import warehouse_ledger_sql as ledger_sql
from headrace_loader import warehouse_sql as sql

__all__ = ["load_statements", "rendered"]


def load_statements() -> dict[str, str]:
    """Statements by name."""
    stage, day = stage_table(0), date(2026, 11, 20)
    statements = {
        "create_stage_table": create_stage_table(stage),
        "lock": LOCK,
        "expired_days": EXPIRED_DAYS,
        "missing_tables": MISSING_TABLES,
        "copy_into_stage": copy_into(stage),
        "copy_into_events": copy_into(EVENTS),
        "staged_rows": sql.staged_rows(stage),
        "take_out_suppressed": sql.take_out_suppressed(stage),
        "repeated_in_batch": sql.repeated_in_batch(stage),
        "stored_near": sql.stored_near(stage),
        "stored_on": sql.stored_on(stage, day),
        "leave_out": sql.leave_out(stage),
        "remove_displaced": sql.remove_displaced(),
        "add_minutes": sql.add_minutes(stage),
        "add_user_days": sql.add_user_days(stage),
        "add_user_first_seen": sql.add_user_first_seen(stage),
        "days_with_rows": ledger_sql.days_with_rows([day, date(2026, 11, 21)]),
    }
    several = {
        "create_partition": create_partition(day),
        "recompute_minutes": recompute_minutes(),
        "recompute_user_days": recompute_user_days(),
        "recompute_user_first_seen": recompute_user_first_seen(),
    }
    for finer, coarser, unit in COARSER:
        statements[f"resum_{unit}"] = sql.resum(stage, finer, coarser, unit)
        several[f"resum_given_{unit}"] = resum_given(finer, coarser, unit)
    for name, parts in several.items():
        statements.update({f"{name}_{at}": part for at, part in enumerate(parts, 1)})
    control = {name.lower(): getattr(ledger_sql, name) for name in ledger_sql.__all__ if name.isupper()}
    return {**statements, **control}


def rendered() -> str:
    """The golden file's text."""
    return "".join(f"-- {name}\n{text};\n\n" for name, text in sorted(load_statements().items()))
