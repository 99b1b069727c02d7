"""One file for each family of commands. A cog only translates: an interaction to a request, a result to a message."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bot.client import PoetBot


async def add_all(bot: "PoetBot") -> None:
    """Add every family to the bot."""
    import discord

    from bot.cogs.about import AboutCog
    from bot.cogs.catchup import CatchUpCog
    from bot.cogs.check import CheckCog
    from bot.cogs.daily import DailyCog
    from bot.cogs.finetune import FinetuneCog
    from bot.cogs.moderation import ModerationCog
    from bot.cogs.owner import OwnerCog
    from bot.cogs.poem import PoemCog
    from bot.cogs.privacy import PrivacyCog
    from bot.cogs.ratings import RatingsCog
    from bot.cogs.settings import SettingsCog
    from bot.cogs.top import TopCog
    from bot.cogs.voice import VoiceCog

    ratings = RatingsCog(bot)
    finetune = FinetuneCog(bot)
    await bot.add_cog(ratings)
    await bot.add_cog(PoemCog(bot, ratings.invite))
    await bot.add_cog(CheckCog(bot))
    await bot.add_cog(TopCog(bot))
    await bot.add_cog(DailyCog(bot, ratings.invite))
    await bot.add_cog(finetune)
    await bot.add_cog(VoiceCog(bot))
    await bot.add_cog(SettingsCog(bot))
    await bot.add_cog(PrivacyCog(bot))
    await bot.add_cog(AboutCog(bot))
    await bot.add_cog(ModerationCog(bot))
    await bot.add_cog(CatchUpCog(bot))
    if bot.services.owner_guild_id is not None:
        await bot.add_cog(OwnerCog(bot, finetune), guild=discord.Object(bot.services.owner_guild_id))
