"""Poems, the votes on them, and notes of the program."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Step forward."""
    op.create_table(
        "poems",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("requester_id", sa.BigInteger, nullable=False),
        sa.Column("guild_id", sa.BigInteger),
        sa.Column("channel_id", sa.BigInteger),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("form", sa.Text, nullable=False),
        sa.Column("theme", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("pattern", sa.Text, nullable=False),
        sa.Column("rhyme", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("realness", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_poems"),
        sa.UniqueConstraint("message_id", name="uq_poems_message_id"),
    )
    op.create_table(
        "votes",
        sa.Column("poem_id", sa.BigInteger, nullable=False),
        sa.Column("voter_id", sa.BigInteger, nullable=False),
        sa.Column("value", sa.SmallInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("poem_id", "voter_id", name="pk_votes"),
        sa.ForeignKeyConstraint(["poem_id"], ["poems.id"], name="fk_votes_poem_id", ondelete="CASCADE"),
        sa.CheckConstraint("value IN (-1, 1)", name=op.f("ck_votes_value")),
    )
    op.create_table(
        "meta",
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("value", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )


def downgrade() -> None:
    """Step back."""
    op.drop_table("meta")
    op.drop_table("votes")
    op.drop_table("poems")
