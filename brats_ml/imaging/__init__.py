"""Functions of image arrays: geometry, intensity, metrics and quality, with NumPy and SciPy only."""
