"""Weights & Biases: what it is told of a run, and how; never in the way of it."""
