"""Files: run directories, staleness logs and arrays; the only folder that imports h5py."""
