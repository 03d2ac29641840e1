"""Training in one process under the schedule of many ranks: recorded, or simulated."""
