"""WHICH, WHERE, WHEN: the search space, the study, the scheduler and its jobs."""
