"""Yin's model: a GAN that writes classical Chinese poems. Knows nothing of Discord, users or databases."""
