"""``doctor``: what this machine can do for a run, one line per check, and what to do about it.

Judging is apart from looking: thin code gathers facts (``facts``, and the doors ``comm.trial``,
``storage.swmr_trial`` and ``core.gpu``), and pure functions turn them into findings.
"""
