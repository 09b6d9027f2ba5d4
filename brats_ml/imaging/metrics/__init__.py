"""Metrics of one case, and their summary over cases."""
