"""DICOM: series of scanners in, and results back to them."""
