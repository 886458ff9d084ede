"""The .beton file: FFCV's format, version 2. Stock FFCV reads what is written here, and the other way round.

    header | field descriptors | one record per sample | zeros | data pages | table of allocations

Imports are lazy, as everywhere: a reader needs no encoder.
"""
