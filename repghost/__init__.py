"""RepGhost Lab: build, fuse, certify, time, train and compare light-weight networks.

Importing this package imports no torch: what only plans, lists or reports starts at once.
"""
