"""All statements of rule B3 on PostgreSQL by name, as the golden file holds them."""

from datetime import date

from headrace_core.ddl import create_session_table
from headrace_core.tables import EVENTS_DAY, EVENTS_HOUR, EVENTS_MINUTE, FUNNELS, SESSIONS
from headrace_core.warehouse_sql import (
    COARSER,
    recompute_minutes,
    recompute_user_days,
    recompute_user_first_seen,
    resum_given,
)
from headrace_spark import warehouse_aggregates_sql as aggregates_sql
from headrace_spark import warehouse_day_sql as sql

__all__ = ["day_statements", "rendered"]

DAY = date(2026, 11, 20)


def day_statements() -> dict[str, str]:
    """Statements by name."""
    constant = {
        name.lower(): getattr(sql, name) for name in sql.__all__ if isinstance(getattr(sql, name), str)
    }
    of_a_day = {
        name: getattr(sql, name)(DAY)
        for name in ("compare", "mark_stale", "remove_rows", "note_changes", "change_rows", "contested")
    }
    late = {
        name: getattr(aggregates_sql, name)(DAY) for name in ("late_minutes", "late_user_days", "note_users")
    }
    return {
        **{f"create_{at}": statement for at, statement in enumerate(sql.CREATE)},
        "create_stage": create_session_table(sql.STAGE),
        "create_users": aggregates_sql.CREATE_USERS,
        **constant,
        **of_a_day,
        "compare_stale": sql.compare(DAY, stale=True),
        **late,
        "sum_due_hour": aggregates_sql.sum_due(EVENTS_MINUTE, EVENTS_HOUR, "hour"),
        **_replacements(),
        **_recomputations(),
    }


def _replacements() -> dict[str, str]:
    found: dict[str, str] = {}
    for table in (SESSIONS, FUNNELS, EVENTS_DAY):
        source = aggregates_sql.staged(table)
        found |= {
            f"{table.name}_take_out_suppressed": aggregates_sql.take_out_suppressed(table),
            f"{table.name}_delete_gone": aggregates_sql.delete_gone(table, source, DAY),
            f"{table.name}_update_changed": aggregates_sql.update_changed(table, source, DAY),
            f"{table.name}_insert_new": aggregates_sql.insert_new(table, source),
        }
    return found


def _recomputations() -> dict[str, str]:
    rows = sql.rows_around(DAY)
    several = {
        "recompute_minutes": recompute_minutes(sql.BUCKETS_TOUCHED, rows),
        "recompute_user_days": recompute_user_days(sql.USER_DAYS_TOUCHED, rows),
        "recompute_user_first_seen": recompute_user_first_seen(sql.USERS_TOUCHED),
    }
    for finer, coarser, unit in COARSER:
        several[f"resum_{unit}"] = resum_given(finer, coarser, unit, sql.buckets_touched(unit))
    return {f"{name}_{at}": part for name, parts in several.items() for at, part in enumerate(parts, 1)}


def rendered() -> str:
    """The golden file's text."""
    return "".join(f"-- {name}\n{text};\n\n" for name, text in sorted(day_statements().items()))
