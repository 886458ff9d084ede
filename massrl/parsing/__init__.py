"""Settings from a command line, a file or keywords; a wrong one is answered in one line."""
