"""The architectures of the networks."""
