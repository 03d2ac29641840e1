"""Runs as Slurm jobs: submitting them, going on after a stop or a loss, and how they stand."""
