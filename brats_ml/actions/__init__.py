"""What acts on the world: publish, judge, promote, score."""
