"""How one step exchanges: a reduction (synchronous) or the parameter window (bounded, async)."""
