"""One file for each family of commands. A cog only translates: an interaction to a request, a result to a message."""
