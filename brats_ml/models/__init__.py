"""Load trained models, each as one call."""
