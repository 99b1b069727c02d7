"""The training stages. Imported by the command line only, never by the bot."""
