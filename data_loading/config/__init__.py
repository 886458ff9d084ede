"""Objects that a config names, remembered arguments, and files that are written completely or not at all."""
