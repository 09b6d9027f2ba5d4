"""Files of networks, estimators and their checkpoints."""
