"""What was asked for, reports, server settings, daily poems, quotas, jobs, comparisons, retries.

Only adds: SQLite would rebuild a table to change a column, and dropping the old `poems` would take all votes along.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _counted() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Step forward."""
    for column in (
        sa.Column("acrostic", sa.Text, nullable=False, server_default=""),
        sa.Column("first_line", sa.Text, nullable=False, server_default=""),
        sa.Column("asked_rhyme", sa.Text, nullable=False, server_default=""),
        sa.Column("ranked", sa.Boolean, nullable=False, server_default=sa.true()),
        sa.Column("in_classics", sa.Text, nullable=False, server_default=""),
        sa.Column("purpose", sa.Text, nullable=False, server_default="asked"),
        sa.Column("script", sa.Text, nullable=False, server_default="simplified"),
        sa.Column("language", sa.Text, nullable=False, server_default="en"),
        sa.Column("vote_buttons", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    ):
        op.add_column("poems", column)
    op.create_index("ix_poems_guild_id", "poems", ["guild_id", "created_at"])
    op.create_index("ix_poems_requester_id", "poems", ["requester_id"])
    op.create_index("ix_poems_seed", "poems", ["seed"])
    op.add_column("votes", sa.Column("weight", sa.SmallInteger, nullable=False, server_default="1"))
    op.create_index("ix_votes_voter_id", "votes", ["voter_id"])
    # The requester's own vote, kept until now like any other, counts nowhere from here on; the console's (0) does.
    op.execute(
        "UPDATE votes SET weight = 0 WHERE voter_id <> 0 AND voter_id = "
        "(SELECT requester_id FROM poems WHERE poems.id = votes.poem_id)"
    )
    op.create_table(
        "reports",
        sa.Column("poem_id", sa.BigInteger, nullable=False),
        sa.Column("reporter_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("poem_id", "reporter_id", name="pk_reports"),
        sa.ForeignKeyConstraint(["poem_id"], ["poems.id"], name="fk_reports_poem_id", ondelete="CASCADE"),
    )
    op.create_table(
        "servers",
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("language", sa.Text),
        sa.Column("script", sa.Text),
        sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
        sa.Column("channels", sa.Text, nullable=False, server_default=""),
        sa.Column("words", sa.Text, nullable=False, server_default=""),
        sa.Column("quota", sa.Integer),
        sa.Column("cooldown", sa.Integer),
        sa.Column("reports_channel_id", sa.BigInteger),
        sa.Column("left_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("guild_id", name="pk_servers"),
    )
    op.create_table(
        "dailies",
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("channel_id", sa.BigInteger, nullable=False),
        sa.Column("minute", sa.Integer, nullable=False),
        sa.Column("form", sa.Text),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("guild_id", name="pk_dailies"),
    )
    op.create_table(
        "daily_poems",
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Text, nullable=False),
        sa.Column("poem_id", sa.BigInteger),
        sa.Column("posted", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("guild_id", "day", name="pk_daily_poems"),
        sa.ForeignKeyConstraint(["poem_id"], ["poems.id"], name="fk_daily_poems_poem_id", ondelete="SET NULL"),
    )
    op.create_table(
        "usage",
        sa.Column("member_id", sa.BigInteger, nullable=False),
        sa.Column("guild_id", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("last_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("member_id", "guild_id", name="pk_usage"),
    )
    op.create_table(
        "jobs",
        sa.Column("id", _counted(), nullable=False),
        sa.Column("guild_id", sa.BigInteger),
        sa.Column("requester_id", sa.BigInteger, nullable=False),
        sa.Column("channel_id", sa.BigInteger),
        sa.Column("message_id", sa.BigInteger),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("heartbeat_at", sa.BigInteger),
        sa.Column("finished_at", sa.BigInteger),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.Column("num_poems", sa.Integer, nullable=False),
        sa.Column("num_voters", sa.Integer, nullable=False),
        sa.Column("num_votes", sa.Integer, nullable=False),
        sa.Column("base", sa.Text),
        sa.Column("version", sa.Text),
        sa.Column("outcome", sa.Text, nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'evaluating', 'promoted', 'rejected', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
    )
    op.create_table(
        "comparisons",
        sa.Column("id", _counted(), nullable=False),
        sa.Column("asker_id", sa.BigInteger, nullable=False),
        sa.Column("guild_id", sa.BigInteger),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("first_id", sa.BigInteger, nullable=False),
        sa.Column("second_id", sa.BigInteger, nullable=False),
        sa.Column("picked", sa.SmallInteger),
        sa.PrimaryKeyConstraint("id", name="pk_comparisons"),
        sa.ForeignKeyConstraint(["first_id"], ["poems.id"], name="fk_comparisons_first_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["second_id"], ["poems.id"], name="fk_comparisons_second_id", ondelete="CASCADE"),
    )
    op.create_table(
        "retries",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("data", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_retries"),
    )


def downgrade() -> None:
    """Step back."""
    for table in ("retries", "comparisons", "jobs", "usage", "daily_poems", "dailies", "servers", "reports"):
        op.drop_table(table)
    op.drop_index("ix_votes_voter_id", "votes")
    op.drop_column("votes", "weight")
    op.drop_index("ix_poems_seed", "poems")
    op.drop_index("ix_poems_requester_id", "poems")
    op.drop_index("ix_poems_guild_id", "poems")
    for name in (
        "hidden", "vote_buttons", "language", "script", "purpose", "in_classics", "ranked", "asked_rhyme",
        "first_line", "acrostic",
    ):  # fmt: skip
        op.drop_column("poems", name)
