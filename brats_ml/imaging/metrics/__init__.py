"""Segmentation metrics of one case, and their summary over cases."""
