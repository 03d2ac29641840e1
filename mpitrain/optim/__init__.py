"""Optimisers as pure init/update pairs, learning-rate schedules, answers to staleness."""
