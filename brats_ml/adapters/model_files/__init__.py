"""Files of networks, estimators and checkpoints."""
