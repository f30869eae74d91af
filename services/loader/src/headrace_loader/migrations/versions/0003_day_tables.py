"""What a daily run makes of a day beside its rollups: sessions, funnels, cohorts, finance."""

from alembic import op

from headrace_core.errors import UsageError
from headrace_loader.migrations import frozen_statements

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Run the frozen statements of this revision."""
    for statement in frozen_statements(revision, op.get_bind().dialect.name):
        op.execute(statement)


def downgrade() -> None:
    """There is no way back: dashboards read these tables."""
    raise UsageError(
        "The third revision cannot be taken back.",
        why="It would drop sessions, funnels, cohorts and finance of every day.",
        fix="Leave it: older loaders work with it, since it adds only.",
        code="migration_irreversible",
    )
