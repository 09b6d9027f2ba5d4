"""Predict label maps with trained networks."""
