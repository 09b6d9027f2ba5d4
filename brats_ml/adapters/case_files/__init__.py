"""Array files of cases, and the training set made of them."""
