"""What the worker costs, beside what else there is: `make bench`. docs/performance.md holds what came of it."""
