"""Dense transfer: object detection and semantic segmentation with the backbone of a checkpoint. See docs/dense.md."""
