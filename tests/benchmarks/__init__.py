"""Programs that measure; ``python -m tests.benchmarks.NAME`` prints a table and a line of JSON."""
