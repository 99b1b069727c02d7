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
)

votes = sa.Table(
    "votes",
    metadata,
    sa.Column("poem_id", sa.BigInteger, sa.ForeignKey("poems.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("voter_id", sa.BigInteger, primary_key=True),
    sa.Column("value", sa.SmallInteger, sa.CheckConstraint("value IN (-1, 1)", name="value"), nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
)

meta = sa.Table(
    "meta",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
