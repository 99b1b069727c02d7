"""`python -m bot doctor`: looks at everything the bot needs and says in one line each what to do.

Knows no command. It changes nothing: the database is opened read-only and no version is loaded.
"""

import asyncio
import os
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from bot.card import SYSTEM_FONTS, Cards
from bot.errors import StartError
from bot.settings import ENV_FILE, Settings, unknown_settings
from bot.store.database import engine_of, is_of_later_version, lock_of, trouble
from bot.words import WordList
from poetgen.errors import PoetgenError
from poetgen.registry import Registry

if TYPE_CHECKING:
    import discord

_LEAST_FREE_BYTES = 500 * 2**20
_SECONDS = 10.0
_PAGE = 200  # servers that Discord lists at once
_NAMED = 5  # servers that are named where something is missing
# What the bot needs in a channel: view, send, embed links, attach files, history, add reactions.
PERMISSIONS = 0x400 | 0x800 | 0x4000 | 0x8000 | 0x10000 | 0x40
_LIMITED_OR_FULL = ((1 << 12 | 1 << 13, "presence"), (1 << 14 | 1 << 15, "members"), (1 << 18 | 1 << 19, "messages"))


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found.

    Attributes:
        well: Whether it is as it should be; None where that cannot be told.
        what: What was looked at.
        said: How it is, and what to do.
    """

    well: bool | None
    what: str
    said: str

    def line(self) -> str:
        return f"{ {True: 'ok  ', False: 'FAIL', None: '?   '}[self.well] } {self.what}: {self.said}"


async def examine(settings: Settings) -> list[Finding]:
    """Look at everything; one finding each."""
    findings = [await _token(settings)] if settings.discord_token is None else await _application(settings)
    looks: tuple[Callable[[Settings], Finding], ...] = (_settings, _database, _model, _voices, _fonts, _words, _disk)
    return findings + [await asyncio.to_thread(look, settings) for look in looks]


async def _token(_: Settings) -> Finding:
    return Finding(None, "token", "there is none, so the console runs; put DISCORD_TOKEN into .env for Discord.")


async def _application(settings: Settings) -> list[Finding]:
    """Whether Discord takes the token, and what the application may."""
    import aiohttp
    import discord

    assert settings.discord_token is not None
    shape = Finding(True, "token", "it has the shape of a bot token.")
    client = discord.Client(intents=discord.Intents.none())
    try:
        async with asyncio.timeout(_SECONDS):
            await client.login(settings.discord_token.get_secret_value())
            app = await client.application_info()
            servers = await _servers(client)
    except discord.LoginFailure:
        return [Finding(False, "token", "Discord refuses it; copy it anew from the developer portal.")]
    except (TimeoutError, aiohttp.ClientError, OSError, discord.HTTPException) as error:
        said = f"Discord cannot be reached ({type(error).__name__}); see that this machine has a network."
        return [shape, Finding(None, "application", said)]
    finally:
        await client.close()
    asked = [name for bits, name in _LIMITED_OR_FULL if app.flags.value & bits]
    intents = (
        f"privileged ones are switched on that I do not need ({', '.join(asked)}); switch them off in the portal."
        if asked
        else "no privileged one is switched on, and I need none."
    )
    invite = discord.utils.oauth_url(
        app.id, permissions=discord.Permissions(PERMISSIONS), scopes=("bot", "applications.commands")
    )
    return [
        Finding(True, "token", "Discord takes it."),
        Finding(True, "application", f"it is {app.name}; invite it by {invite}"),
        Finding(None if asked else True, "intents", intents),
        _permissions(servers),
        _owner(settings, servers),
    ]


async def _servers(client: "discord.Client") -> dict[int, tuple[str, int]]:
    """The servers that the bot is in: name and what it may there, channels' own rules aside."""
    found: dict[int, tuple[str, int]] = {}
    while True:
        # By the request itself, for discord.py leaves out what the bot may.
        page: list[Any] = await client.http.get_guilds(_PAGE, after=max(found, default=None), with_counts=False)
        for server in page:
            found[int(server["id"])] = str(server["name"]), int(server.get("permissions", PERMISSIONS))
        if len(page) < _PAGE:
            return found


def _permissions(servers: dict[int, tuple[str, int]]) -> Finding:
    import discord

    if not servers:
        return Finding(None, "permissions", "I am in no server yet; invite me by the address above.")
    missing = []
    for name, allowed in servers.values():
        lacks = discord.Permissions(PERMISSIONS & ~allowed)
        if lacks and not discord.Permissions(allowed).administrator:
            missing.append(f"{name} ({', '.join(permission for permission, lacking in lacks if lacking)})")
    if not missing:
        return Finding(True, "permissions", f"I have them in all {len(servers)} servers, channels' own rules aside.")
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    said = f"some are missing in {'; '.join(missing[:_NAMED])}{more}; invite me there again, or change my role."
    return Finding(False, "permissions", said)


def _owner(settings: Settings, servers: dict[int, tuple[str, int]]) -> Finding:
    wanted = settings.owner_guild_id
    if wanted is None:
        return Finding(None, "owner", "OWNER_GUILD_ID is not set, so there is no /owner; set it to your server's id.")
    if wanted not in servers:
        return Finding(False, "owner", f"I am not in the server {wanted}; invite me there, or correct OWNER_GUILD_ID.")
    return Finding(True, "owner", f"/owner is in the server {servers[wanted][0]}.")


def _settings(settings: Settings) -> Finding:
    place = ENV_FILE.absolute()
    if not place.exists():
        return Finding(None, "settings", f"there is no {place}, so they are the usual ones, or exported.")
    unknown = unknown_settings()
    if settings.discord_token is not None and place.stat().st_mode & stat.S_IROTH:
        unknown.append(f"{place} holds the token and may be read by everybody; chmod 600 it.")
    return Finding(not unknown, "settings", " ".join(unknown) or f"they are those of {place}, or exported.")


def _database(settings: Settings) -> Finding:
    try:
        path = Path(engine_of(settings.database_url)[1]).absolute()
    except StartError as error:
        return Finding(False, "database", str(error))
    nearest = _unwritable(path.parent)
    if not path.exists():
        if nearest is None:
            return Finding(True, "database", f"{path} will be made at the first start.")
        return Finding(False, "database", f"{path} cannot be made; see that {nearest} may be written.")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (poems,) = connection.execute("SELECT count(*) FROM poems").fetchone()
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        return Finding(False, "database", f"{path} {trouble(error)}.")
    if verdict != "ok":
        return Finding(False, "database", f"{path} is damaged; move it away or restore a copy.")
    if is_of_later_version(revision):
        said = f"{path} was written by a later version of this program; update the program."
        return Finding(False, "database", said)
    for file in (path, lock_of(path)):
        if file.exists() and not os.access(file, os.W_OK):
            return Finding(False, "database", f"{file} may not be written; change its permissions.")
    if nearest is not None:
        return Finding(False, "database", f"{nearest} may not be written; change its permissions.")
    return Finding(True, "database", f"{path} is whole and holds {poems} poems.")


def _model(settings: Settings) -> Finding:
    try:
        registry = Registry(settings.poetgen_home)
        version = registry.show(registry.current())
        registry.require_whole(version.name)
    except PoetgenError as error:
        return Finding(False, "model", str(error))
    return Finding(True, "model", f"version {version.name} is in use, of {len(registry.names())}.")


def _voices(settings: Settings) -> Finding:
    home = Registry(settings.poetgen_home).home.absolute()
    nearest = _unwritable(home / "versions")
    if nearest is not None:
        said = f"none can be kept in {home}; set POETGEN_HOME to a folder that may be written ({nearest} may not)."
        return Finding(False, "voices", said)
    return Finding(True, "voices", f"they are kept in {home}.")


def _unwritable(folder: Path) -> Path | None:
    """The folder that may not be written: it, or the nearest one that is there; None if it may.

    It is tried with a file that has no name, for whether root may write is not to be seen in permissions.
    """
    # os.path says no where Path would raise: in a folder that may not be looked into.
    nearest = next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return None
    except OSError:
        return nearest


def _fonts(settings: Settings) -> Finding:
    fonts = Cards(settings.card_font).fonts
    if not fonts:
        packages = ", ".join(dict.fromkeys(package for package, _ in SYSTEM_FONTS))
        said = f"there is none with Chinese characters, so there is no Card button; install one of {packages}."
        return Finding(False, "fonts", said)
    if settings.card_font is not None and settings.card_font not in fonts:
        return Finding(False, "fonts", f"CARD_FONT {settings.card_font} cannot be used; {fonts[0].name} is.")
    return Finding(True, "fonts", f"cards are drawn with {fonts[0].name}.")


def _words(settings: Settings) -> Finding:
    try:
        WordList(settings.word_list)
    except StartError as error:
        return Finding(False, "words", str(error))
    return Finding(True, "words", "the word list can be read.")


def _disk(settings: Settings) -> Finding:
    try:
        place = Path(sa.make_url(settings.database_url).database or ".").absolute()
        while not place.exists():
            place = place.parent
        free = shutil.disk_usage(place).free
    except (OSError, sa.exc.ArgumentError):
        return Finding(None, "disk", "how much is free cannot be told.")
    said = f"{free / 2**30:.1f} GiB are free."
    return Finding(free >= _LEAST_FREE_BYTES, "disk", said if free >= _LEAST_FREE_BYTES else f"only {said} Make room.")
