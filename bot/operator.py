"""`python -m bot forget`, `export` and `erase-server`: for whoever cannot ask the bot, the operator does.

Knows no Discord and no model. The database is claimed as the running bot claims it, so the bot must be stopped.
"""

from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from bot.asker import Asker
from bot.errors import StartError
from bot.privacy import Privacy
from bot.settings import Settings
from bot.store import Store
from bot.store.database import engine_of, start_error
from bot.voices import Voices, voice_of
from poetgen.registry import Registry

VERBS = ("forget", "export", "erase-server")


def is_id(typed: str) -> bool:
    """Whether this can be the id of a person or a server."""
    return typed.isascii() and typed.isdecimal() and 0 < int(typed) < 2**63


async def oblige(settings: Settings, verb: str, about: int) -> str:
    """Forget a person, hand over what is stored of one, or erase a server now; returns what to print.

    Raises:
        StartError: There is no database, the bot is running on it, or it cannot be read or written.
    """
    place = _place_of(settings.database_url)
    try:
        return await _obliged(settings, verb, about)
    except SQLAlchemyError as error:
        raise start_error(str(place), error) from None


async def _obliged(settings: Settings, verb: str, about: int) -> str:
    async with await Store.open(settings.database_url) as store:
        if verb == "erase-server":
            registry = Registry(settings.poetgen_home)
            voice = voice_of(about)
            has_voice = any(version.voice == voice for version in registry.versions_of(voice))
            if not has_voice and not await store.servers.is_known(about):
                raise StartError(f"Nothing is stored of server {about}; check the id.")
            # The rows last: if the files cannot be deleted, they still say that there is something to delete.
            await Voices(registry).erase(about)
            await store.servers.erase(about)
            return f"Server {about} is erased: its poems, votes, settings, history and voice."
        privacy, person = Privacy(store), Asker(about)
        if verb == "export":
            return (await privacy.export(person)).decode()
        counts = await store.people.counts(about)
        await privacy.delete(person)
        found = ", ".join(f"{name} {count}" for name, count in counts.items())
        more = "" if any(counts.values()) else " If you expected more, check the id."
        return f"User {about} is forgotten. There was: {found}.{more}"


def _place_of(url: str) -> Path:
    place = Path(engine_of(url)[1])
    if not place.exists():  # it would be made, and look as if nothing had been stored
        raise StartError(f"There is no database at {place.absolute()}; start me where .env and data/ are.")
    return place
