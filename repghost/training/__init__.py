"""HOW GOOD: data, engine, checkpoints, recipes."""
