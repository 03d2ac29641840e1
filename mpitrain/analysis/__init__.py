"""What logs say: checks of every invariant and summaries, in NumPy, without MPI or a GPU."""
