"""Segmentation with Keras: networks, training and inference."""
