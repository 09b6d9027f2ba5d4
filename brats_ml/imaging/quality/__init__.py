"""Check the quality of volumes: profile each one, apply rules to the profile, and find duplicates."""
