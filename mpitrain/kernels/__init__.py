"""Optimisers' updates in one pass over the vector: on the host by blocks, on a device by CUDA."""
