"""The tables as they are now. How they came to be so is told by `migrations/`, and a test compares the two.

Knows no queries.
"""

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

# SQLite counts up an INTEGER PRIMARY KEY only. Discord's ids have 64 bits; times are Unix milliseconds.
_counted = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

poems = sa.Table(
    "poems",
    metadata,
    sa.Column("id", _counted, primary_key=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("requester_id", sa.BigInteger, nullable=False),
    sa.Column("guild_id", sa.BigInteger),
    sa.Column("channel_id", sa.BigInteger),
    sa.Column("message_id", sa.BigInteger, unique=True),
    sa.Column("form", sa.Text, nullable=False),
    sa.Column("theme", sa.Text, nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("pattern", sa.Text, nullable=False),
    sa.Column("rhyme", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("realness", sa.Double, nullable=False),
    # What else was asked for.
    sa.Column("acrostic", sa.Text, nullable=False, server_default=""),
    sa.Column("first_line", sa.Text, nullable=False, server_default=""),
    sa.Column("asked_rhyme", sa.Text, nullable=False, server_default=""),
    # Whether the discriminator chose it among several; a tenth are drawn without, so that training sees them.
    sa.Column("ranked", sa.Boolean, nullable=False, server_default=sa.true()),
    # For each line "1" if it stands in the classics, else "0".
    sa.Column("in_classics", sa.Text, nullable=False, server_default=""),
    # asked, daily, or compare (shown without its version, never voted on).
    sa.Column("purpose", sa.Text, nullable=False, server_default="asked"),
    # How its message is made: characters, language, and whether votes are cast by buttons.
    sa.Column("script", sa.Text, nullable=False, server_default="simplified"),
    sa.Column("language", sa.Text, nullable=False, server_default="en"),
    sa.Column("vote_buttons", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("hidden", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_poems_guild_id", "guild_id", "created_at"),
    sa.Index("ix_poems_channel_id", "channel_id"),
    sa.Index("ix_poems_requester_id", "requester_id"),
    sa.Index("ix_poems_seed", "seed"),
)

votes = sa.Table(
    "votes",
    metadata,
    sa.Column("poem_id", sa.BigInteger, sa.ForeignKey("poems.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("voter_id", sa.BigInteger, primary_key=True),
    sa.Column("value", sa.SmallInteger, sa.CheckConstraint("value IN (-1, 1)", name="value"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    # 0 for the requester's own vote, which is kept but counts nowhere; else 1.
    sa.Column("weight", sa.SmallInteger, nullable=False, server_default="1"),
    # Whether the voter's reaction for the opposite stands under the poem, too: it counts if this one is taken back.
    sa.Column("other_stands", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_votes_voter_id", "voter_id"),
)

# Who asked to be forgotten, as a keyed hash, and when: reactions of theirs from before are not read again. Kept as long
# as such reactions are looked for.
forgotten = sa.Table(
    "forgotten",
    metadata,
    sa.Column("person", sa.Text, primary_key=True),
    sa.Column("asked_at", sa.BigInteger, nullable=False),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("poem_id", sa.BigInteger, sa.ForeignKey("poems.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("reporter_id", sa.BigInteger, primary_key=True),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

# What a server chose; NULL is "not chosen", and the deployment's setting holds.
servers = sa.Table(
    "servers",
    metadata,
    sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("language", sa.Text),
    sa.Column("script", sa.Text),
    sa.Column("time_zone", sa.Text, nullable=False, server_default="UTC"),
    sa.Column("channels", sa.Text, nullable=False, server_default=""),  # ids, one a line; empty for all
    sa.Column("words", sa.Text, nullable=False, server_default=""),  # one a line
    sa.Column("quota", sa.Integer),
    sa.Column("cooldown", sa.Integer),  # seconds
    sa.Column("reports_channel_id", sa.BigInteger),
    sa.Column("left_at", sa.BigInteger),  # when the bot was removed; erased thirty days later
)

dailies = sa.Table(
    "dailies",
    metadata,
    sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("channel_id", sa.BigInteger, nullable=False),
    sa.Column("minute", sa.Integer, nullable=False),  # of the server's day
    sa.Column("form", sa.Text),
    sa.Column("since", sa.BigInteger, nullable=False),  # nothing is owed for before
)

# One row a server and day, which says that the day's poem is written, and then where it is shown.
daily_poems = sa.Table(
    "daily_poems",
    metadata,
    sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Text, primary_key=True),  # such as 2026-03-29, in the server's time zone
    sa.Column("poem_id", sa.BigInteger, sa.ForeignKey("poems.id", ondelete="SET NULL")),
    sa.Column("posted", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("ix_daily_poems_poem_id", "poem_id"),  # without it a deleted poem is looked for in all rows
)

usage = sa.Table(
    "usage",
    metadata,
    sa.Column("member_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("guild_id", sa.BigInteger, primary_key=True, autoincrement=False),  # 0 in direct messages
    sa.Column("day", sa.Integer, nullable=False),  # days since 1970, UTC
    sa.Column("used", sa.Integer, nullable=False),
    sa.Column("last_at", sa.BigInteger, nullable=False),
)

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", _counted, primary_key=True),
    sa.Column("guild_id", sa.BigInteger),  # whose voice learns; NULL for the shared one
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
    sa.Column("outcome", sa.Text, nullable=False, server_default=""),  # JSON: reasons, before, after
    sa.CheckConstraint(
        "state IN ('queued', 'running', 'evaluating', 'promoted', 'rejected', 'failed', 'cancelled')", name="state"
    ),
)

# Two poems on one theme by two versions, and which the asker liked.
comparisons = sa.Table(
    "comparisons",
    metadata,
    sa.Column("id", _counted, primary_key=True),
    sa.Column("asker_id", sa.BigInteger, nullable=False),
    sa.Column("guild_id", sa.BigInteger),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("first_id", sa.BigInteger, sa.ForeignKey("poems.id", ondelete="CASCADE"), nullable=False),
    sa.Column("second_id", sa.BigInteger, sa.ForeignKey("poems.id", ondelete="CASCADE"), nullable=False),
    sa.Column("picked", sa.SmallInteger),  # 1 or 2
    sa.Index("ix_comparisons_first_id", "first_id"),
    sa.Index("ix_comparisons_second_id", "second_id"),
)

# What somebody asked for when something went wrong, for the button that tries again.
retries = sa.Table(
    "retries",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.BigInteger, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("data", sa.Text, nullable=False),  # the interaction's own JSON
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
