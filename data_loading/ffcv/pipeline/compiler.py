"""Compiler, which FFCV's operations of one's own use."""

from data_loading.ffcv.pipeline.operation import OWN_OP, refused

Compiler = refused("Compiler", OWN_OP)
