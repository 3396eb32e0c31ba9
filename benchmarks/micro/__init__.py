"""What one call of a hot module costs, in both builds: ``make bench-micro``."""
