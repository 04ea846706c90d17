"""What the user sees of a sweep, and how it is stopped from outside."""
