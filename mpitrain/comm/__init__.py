"""The only folder that imports mpi4py: world, reductions, windows, clocks, progress."""
