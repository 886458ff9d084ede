"""Exports: an encoder of a checkpoint in the form of another library, checked by that library before it is kept.

`source.py` takes the encoder out of a checkpoint; each form is one file (`timm_folder.py`, `onnx_file.py`, ...), listed
in `targets.py`; `export.py` writes, checks and publishes; `loading.py` reads an export back; `card.py` says what it is.
"""
