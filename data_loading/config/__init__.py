"""Objects that a config names, remembered arguments, the choice of Lightning, and files that are never half written."""
