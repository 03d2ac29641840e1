"""A run as it goes: the loop, meetings, checkpoints, lives, and what is told on the way."""
