"""Pure foundations: errors, array door, layout, shards, batches, seeds, sums; no MPI, no files."""
