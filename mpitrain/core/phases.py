"""What a rank may be doing: the phases that it notes, so that others can tell where it is."""

from __future__ import annotations

PHASES = ("start-up", "wait", "read", "compute", "write", "evaluation", "checkpoint", "end")
START_UP, WAIT, READ, COMPUTE, WRITE, EVALUATION, CHECKPOINT, END = range(len(PHASES))
"""In synchronous training "write" begins with the reduction of gradients, a collective."""
