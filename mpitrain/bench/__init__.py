"""What things cost, beside the least they can cost: ``python -m mpitrain bench``."""
