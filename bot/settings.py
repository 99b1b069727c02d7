"""The deployment's settings: the environment and `.env`, typed. The only reader of the environment.

Knows nothing of what the settings are for; model and training have theirs elsewhere.
"""

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.errors import StartError
from poetgen.poem import Script

# Three parts in URL-safe base64. How long each is has changed over the years, so only the whole is measured.
_TOKEN = re.compile(r"(?=.{50,}\Z)[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)


class Settings(BaseSettings):
    """What a deployment may choose; each field's environment variable is its name in capitals."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    discord_token: SecretStr | None = Field(None, description="The bot's token; without one the console runs.")
    database_url: str = Field("sqlite+aiosqlite:///data/yin.db", description="Where poems and votes are kept.")
    poetgen_home: Path | None = Field(None, description="Where versions of the poet are kept beside the shipped one.")
    poetry_script: Script = Field("simplified", description="The characters that poems are shown in.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="How much is logged.")
    torch_threads: int = Field(2, ge=1, le=256, description="How many threads compose.")
    queue_size: int = Field(64, ge=1, le=10_000, description="How many requests may wait.")
    max_batch: int = Field(8, ge=1, le=64, description="How many waiting requests are composed together.")

    @field_validator("discord_token")
    @classmethod
    def _is_a_token(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not _TOKEN.fullmatch(token.get_secret_value()):
            raise ValueError(
                "is not a bot token; copy it from the Bot page of your application in Discord's developer portal"
            )
        return token

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """The settings of this deployment: the environment, else `env_file`, else the defaults.

    Raises:
        StartError: A setting cannot be what it says; its value is not repeated, for it may be secret.
    """
    try:
        return Settings(_env_file=env_file)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        key = str(first["loc"][0]).upper() if first["loc"] else "The settings"
        reason = first["msg"].removeprefix("Value error, ")
        separator = " " if reason.startswith("is ") else ": "
        raise StartError(f"{key}{separator}{reason}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"{env_file} cannot be read ({type(error).__name__}).") from None
