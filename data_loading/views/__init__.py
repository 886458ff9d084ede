"""Which views are made of an image (view sets), and the random numbers of each (plans)."""
