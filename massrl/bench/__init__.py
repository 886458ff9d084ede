"""Checks and measures of the methods, as commands: `massrl bench`."""
