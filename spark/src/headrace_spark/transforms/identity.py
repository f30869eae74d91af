"""The customers of a resolution on rows (docs/services/identity.md). The user_key of a row never changes."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812 - the field's name for it

__all__ = ["with_customers"]


def with_customers(rows: DataFrame, resolution: DataFrame) -> DataFrame:
    """Rows with customer_id and identity_status as of a resolution, in the order of their columns.

    ``resolution`` has user_key and customer_id, one row per alias, as `headrace_core.identity.AliasRow` and the table
    customer_aliases; it is broadcast. A row is looked up by its user_key, that is by its user id, or without one by its
    anonymous id, as the view events_resolved does: a device's id says nothing of an event that names a user. An alias that
    the resolution does not know has no customer, whatever the row said before.
    """
    known = resolution.select("user_key", F.col("customer_id").alias("known_customer"))
    prefix = F.substring("user_key", 1, 2)
    status = (
        F.when(F.col("known_customer").isNotNull() | (prefix == "u:"), "resolved")
        .when(prefix == "a:", "anonymous")
        .otherwise("unresolved")
    )
    joined = rows.join(F.broadcast(known), "user_key", "left")
    found = {"customer_id": F.col("known_customer"), "identity_status": status}
    return joined.select(*(found.get(name, F.col(name)).alias(name) for name in rows.columns))
