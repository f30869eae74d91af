"""Requests to be forgotten, which the job `erase` carries out."""

from alembic import op

from headrace_core.errors import UsageError
from headrace_loader.migrations import frozen_statements

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the frozen statements of this revision."""
    for statement in frozen_statements(revision, op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: the requests are evidence."""
    raise UsageError(
        "The fourth revision cannot be taken back.",
        why="It would drop what was asked, and when it was done.",
        fix="Leave it: older loaders work with it, since it adds only.",
        code="migration_irreversible",
    )
