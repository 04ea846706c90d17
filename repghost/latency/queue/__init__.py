"""WHO MEASURES WHAT: requests, claims, measurements and workers in one SQL database."""
