"""Make the warehouse: events, rollups, user tables, and the control tables of the load."""

from alembic import op

from headrace_core.errors import UsageError
from headrace_loader.migrations import frozen_statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the frozen statements of this revision."""
    for statement in frozen_statements(revision, op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: it would drop every event."""
    raise UsageError(
        "The first revision cannot be taken back.",
        why="It would drop all tables with their rows.",
        fix="Drop the schemas analytics and ops by hand if that is what you want.",
        code="migration_irreversible",
    )
