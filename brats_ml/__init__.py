"""An MLOps pipeline for the BraTS challenge data."""

__version__ = "0.1.0"
