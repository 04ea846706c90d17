"""The paper's tables (arXiv:2211.06088) beside what is counted and measured here; no torch."""
