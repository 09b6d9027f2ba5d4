"""numpy and scipy only: geometry, intensity, metrics. Arrays in, arrays out."""
