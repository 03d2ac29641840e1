"""Who may proceed: pure rules, driven by live ranks, by the simulator and by the tests."""
