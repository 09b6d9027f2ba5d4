"""Survival models: features, estimators, nested cross-validation and scores, with pandas and scikit-learn only."""
