"""The vocabulary of a cohort: cases and their names, labels, patients, splits, clinical tables and phantoms."""
