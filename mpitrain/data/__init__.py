"""Sources of training samples: bundled digits, IDX and HDF5 files, clusters, your arrays."""
