"""Tools that look at a run's directory: no MPI, no GPU; one module and one question each."""
