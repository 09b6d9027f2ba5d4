"""The vocabulary: cases and their naming, labels and regions, patients, splits, clinical rows, phantoms."""
