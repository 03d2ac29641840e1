"""Work done in one pass over memory: on the host by blocks, on a device by CUDA."""
