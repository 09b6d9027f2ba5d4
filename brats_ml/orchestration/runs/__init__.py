"""Workspaces, records and processes of runs."""
