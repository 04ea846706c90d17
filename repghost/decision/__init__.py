"""From scores with their doubt to a decision: the front, its chances, and what to run next."""
