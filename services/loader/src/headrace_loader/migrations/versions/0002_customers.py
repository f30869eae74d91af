"""Who is who: customers, their aliases, and the view of events with the customer as of now."""

from alembic import op

from headrace_core.errors import UsageError
from headrace_loader.migrations import frozen_statements

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the frozen statements of this revision."""
    for statement in frozen_statements(revision, op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: the view would lose the customers that queries rely on."""
    raise UsageError(
        "The second revision cannot be taken back.",
        why="Queries of events_resolved would silently give other customers.",
        fix="Leave it: older loaders work with it, since it adds only.",
        code="migration_irreversible",
    )
