"""What makes a volume or a cohort suspect."""
