"""Pipelines: what is done to a field."""

from data_loading.ffcv.pipeline.operation import Operation
from data_loading.ffcv.pipeline.pipeline_spec import PipelineSpec

__all__ = ["Operation", "PipelineSpec"]
