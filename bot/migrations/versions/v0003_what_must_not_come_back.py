"""Which reactions stand beside a vote, and who asked to be forgotten."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step forward."""
    op.add_column("votes", sa.Column("other_stands", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "forgotten",
        sa.Column("person", sa.Text, nullable=False),
        sa.Column("asked_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("person", name="pk_forgotten"),
    )


def downgrade() -> None:
    """Step back."""
    op.drop_table("forgotten")
    op.drop_column("votes", "other_stands")
