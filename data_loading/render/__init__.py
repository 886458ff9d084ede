"""Render the views of decoded images by their plan: compiled kernels, torch on any device, and a NumPy reference."""
