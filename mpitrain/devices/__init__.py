"""Where arrays live: the device of a rank, and copies between it and the host."""
