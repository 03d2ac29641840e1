"""Schedules: who reads which versions, takes which batch, and in which order updates apply."""
