"""Yin 吟, the Discord bot: translates what people type into requests to the poet, and keeps poems and votes.

Knows nothing of tensors.
"""
