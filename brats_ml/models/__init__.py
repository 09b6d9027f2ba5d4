"""A trained model as one call."""
