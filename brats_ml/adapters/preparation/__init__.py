"""Raw scans in the space of the challenge: atlas, registration and the brain."""
