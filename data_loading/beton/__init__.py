"""Read and write .beton files: FFCV's format, version 2 (https://ffcv.io). Files are interchangeable with FFCV's.

    header | field descriptors | one record per sample | zeros | data pages | allocation table

`layout` has the byte offsets; `fields`, `arrays` and `images` have the column types; `reader` and `writer` are the two
entry points. Nothing is imported here, so that reading a file does not load the image encoders.
"""
