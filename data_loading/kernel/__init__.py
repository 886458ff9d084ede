"""Building blocks of compiled code: the numba decorator `jit`, counter-based random numbers, SIMD vectors."""
