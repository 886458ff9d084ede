"""Transfer: what an encoder's frozen features are worth on several other data sets, each by its own metric."""
