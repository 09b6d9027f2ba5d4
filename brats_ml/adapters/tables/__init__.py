"""CSV tables: clinical ones in any dialect, and our own."""
