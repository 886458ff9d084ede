"""The views of a past run, made again: the public name of loading/replay.py."""

from data_loading.loading.replay import Replay, replay_image, replay_views

__all__ = ["Replay", "replay_image", "replay_views"]
