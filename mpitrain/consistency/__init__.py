"""Who may proceed, and with which batch: pure rules for live ranks, the simulator, the tests."""
