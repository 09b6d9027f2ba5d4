"""Array files of cases, and the training set that they make."""
