"""What the pipeline and scoring share about cases."""
