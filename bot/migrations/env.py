"""What Alembic runs: the steps, on the connection that it is handed.

Knows no settings; the connection has its transaction already, so all steps succeed or none.
"""

from alembic import context

from bot.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
