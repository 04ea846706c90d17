"""From finished results to a decision: tables, Pareto front, report. Never imports torch."""
