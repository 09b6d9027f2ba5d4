"""CSV tables: clinical ones in any dialect, and those of the stages."""
