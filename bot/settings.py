"""The deployment's settings: the environment and `.env`, typed. The only reader of the environment.

Knows nothing of what the settings are for; model and training have theirs elsewhere.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import StartError
from poetgen.poem import Script

ENV_FILE = Path(".env")
# Three parts in URL-safe base64. How long each is has changed over the years, so only the whole is measured.
_TOKEN = re.compile(r"(?=.{50,}\Z)[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Settings(BaseSettings):
    """What a deployment may choose; each field's environment variable is its name in capitals."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    discord_token: SecretStr | None = Field(None, description="The bot's token; without one the console runs.")
    owner_guild_id: int | None = Field(None, ge=1, description="The server where the owner's commands are.")
    database_url: str = Field("sqlite+aiosqlite:///data/yin.db", description="Where everything is kept.")
    poetgen_home: Path | None = Field(None, description="Where versions of the poet are kept beside the shipped one.")
    poetry_script: Script = Field("simplified", description="The characters of poems where nobody chose.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")
    log_format: Literal["text", "json"] = Field("text", description="How it is logged.")
    torch_threads: int = Field(2, ge=1, le=256, description="How many threads compose.")
    max_voices: int = Field(16, ge=1, le=64, description="How many versions of the poet stay loaded.")
    queue_size: int = Field(64, ge=1, le=10_000, description="How many requests may wait.")
    max_batch: int = Field(32, ge=1, le=64, description="How many waiting requests are composed together.")
    cooldown_seconds: int = Field(5, ge=0, le=3600, description="The time between two poems of a member in a server.")
    daily_quota: int = Field(200, ge=1, le=100_000, description="How many poems a member may have a day in a server.")
    word_list: Path | None = Field(None, description="More words that nothing may spell.")
    card_font: Path | None = Field(None, description="The font of cards, before the system's.")
    health_port: int | None = Field(None, ge=1, le=65535, description="Where health and metrics are served.")
    privacy_url: str | None = Field(None, pattern=r"^https://\S+$", description="Where PRIVACY.md can be read.")
    finetune_minutes: int = Field(5, ge=0, le=600, description="How long a fine-tune may learn; 0 for none.")
    finetune_silence_minutes: float = Field(3, gt=0, le=60, description="When a silent fine-tune is stopped.")
    finetune_memory_mb: int = Field(1200, ge=700, description="When a fine-tune that grows is stopped.")
    finetune_min_votes: int = Field(30, ge=1, description="The votes that a fine-tune needs.")
    finetune_min_poems: int = Field(15, ge=15, description="The poems that a fine-tune needs; it learns from no fewer.")
    finetune_min_voters: int = Field(3, ge=1, description="The voters that a fine-tune needs.")

    @field_validator("discord_token")
    @classmethod
    def _is_a_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError(
                "is not a bot token; copy it from the Bot page of your application in Discord's developer portal"
            )
        return token

    @field_validator("poetgen_home", "word_list", "card_font")
    @classmethod
    def _at_home(cls, path: Path | None) -> Path | None:
        return None if path is None else Path(_expanded(str(path)))

    @field_validator("database_url")
    @classmethod
    def _url_at_home(cls, url: str) -> str:
        scheme, slashes, path = url.partition(":///")
        return scheme + slashes + _expanded(path)

    @field_validator("log_format", mode="before")
    @classmethod
    def _in_small(cls, form: object) -> object:
        return form.lower() if isinstance(form, str) else form

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


def _expanded(path: str) -> str:
    """With ~ replaced by the home folder; no shell has read `.env`."""
    try:
        return str(Path(path).expanduser()) if path.startswith("~") else path
    except RuntimeError:
        raise ValueError("is not a path, for there is no such home folder; write it out") from None


# What pydantic says in the words of programmers.
_REASONS = {
    "int_parsing": "must be a whole number",
    "float_parsing": "must be a number",
    "bool_parsing": "must be true or false",
    "string_pattern_mismatch": "must be an address that begins with https://",
}


def load_settings(env_file: Path | None = ENV_FILE) -> Settings:
    """The settings of this deployment: the environment, else `env_file`, else the defaults.

    Raises:
        StartError: A setting cannot be what it says; its value is not repeated, for it may be secret.
    """
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = str(first["loc"][0]).upper() if first["loc"] else "The settings"
        reason = _REASONS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        separator = " " if reason.startswith(("is ", "must ")) else ": "
        raise StartError(f"{key}{separator}{reason}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{env_file} cannot be read ({type(error).__name__}).") from None


def unknown_settings(env_file: Path = ENV_FILE) -> list[str]:
    """A sentence for each line of `env_file` that is no setting; a value is not repeated, for it may be secret."""
    names = [field.upper() for field in Settings.model_fields]
    said = []
    for key, value in dotenv_values(env_file, encoding="utf-8").items():
        if value is None:  # a line without "=" may be the second half of a value
            said.append(f"A line of {env_file} has no “=”; settings look like KEY=value.")
        elif key.upper() not in names:
            near = difflib.get_close_matches(key.upper(), names, 1)
            said.append(f"{key} in {env_file} is no setting{f'; is it {near[0]}?' if near else '.'}")
    return said


def child_variables(settings: Settings) -> dict[str, str]:
    """The environment of a fine-tune: ours, with the poet's home as it is set here and without the token."""
    kept = {name: value for name, value in os.environ.items() if name.upper() != "DISCORD_TOKEN"}
    return kept | ({"POETGEN_HOME": str(settings.poetgen_home.absolute())} if settings.poetgen_home else {})
