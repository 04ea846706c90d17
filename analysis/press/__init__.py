"""Figures for a paper in two columns; matplotlib is imported by this command alone."""
