"""Keras only: networks, data, training, inference."""
