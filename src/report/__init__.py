"""The report of benchmark.py: finding the sets, reading them, and the tables and pages made of the results."""
