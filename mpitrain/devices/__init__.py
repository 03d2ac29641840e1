"""Where a rank computes: the CPU or one of the GPUs that it sees, and copies between the two.

Looking is apart from choosing: ``offer`` and ``cuda`` ask the machine, the rest is pure. No module
here knows MPI; ``running.device`` brings the ranks' offers together.
"""
