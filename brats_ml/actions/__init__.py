"""Actions on the world outside the pipeline: publish, judge, promote, score."""
