"""Alembic's entry: runs the revisions on the connection that `headrace_loader.migrate` hands over."""

from alembic import context

from headrace_core.tables import SCHEMA_VERSION_TABLE

__all__: list[str] = []

context.configure(
    connection=context.config.attributes["connection"],
    version_table=SCHEMA_VERSION_TABLE,
    version_table_schema="ops",
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
