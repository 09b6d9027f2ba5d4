"""Module names that registered models still ask for. A model stores the name of its loader and keeps it for ever."""
