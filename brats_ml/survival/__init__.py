"""pandas and scikit-learn only: features, estimators, validation."""
