"""NIfTI files, and the grids of their volumes."""
