"""State, which FFCV's operations of one's own use."""

from data_loading.ffcv.pipeline.operation import State

__all__ = ["State"]
