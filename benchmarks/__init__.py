"""`python -m benchmarks.NAME` prints a table beside what a user would run, then one JSON line."""
