"""Objects that a config names, and files that are written whole."""
