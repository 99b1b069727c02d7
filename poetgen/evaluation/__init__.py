"""What a version of the poet is worth, in figures, beside people's poems and simple models. Writes none for users."""
