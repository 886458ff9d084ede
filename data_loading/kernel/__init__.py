"""What compiled code is made of: the compiler's settings, keyed random numbers, SIMD vectors."""
