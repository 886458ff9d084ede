"""A decoded image and its plan become views: compiled, in tensors, and as a NumPy reference."""
