"""Indices for what a deletion looks for, and nobody's message among the kept requests."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDICES = (
    ("ix_poems_channel_id", "poems", "channel_id"),
    ("ix_daily_poems_poem_id", "daily_poems", "poem_id"),
    ("ix_comparisons_first_id", "comparisons", "first_id"),
    ("ix_comparisons_second_id", "comparisons", "second_id"),
)


def upgrade() -> None:
    """Step forward."""
    for name, table, column in _INDICES:
        op.create_index(name, table, [column])
    # Earlier versions kept the message that a menu was opened on.
    op.execute(sa.text("DELETE FROM retries WHERE data LIKE '%\"messages\"%'"))


def downgrade() -> None:
    """Step back."""
    for name, table, _ in _INDICES:
        op.drop_index(name, table)
