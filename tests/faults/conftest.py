"""The bot's fixtures, for its faults."""

import pytest
import simcord

from tests.bot.conftest import (  # noqa: F401
    database,
    enough_memory,
    inference,
    poems,
    poet,
    registry,
    rows,
    services,
    simcord_bot,
    small_ids,
    store,
    trainer,
    url,
)
from tests.bot.discord_place import Place


@pytest.fixture
def place(simcord_env: simcord.Env) -> Place:
    return Place(simcord_env)
