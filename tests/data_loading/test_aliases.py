"""The modules of a past version that have moved are still imported by their old names, with all that they defined."""

from importlib import import_module

import pytest

NAMES = {
    "batch": ["Batch", "UNNAMED"],
    "fields": [
        "BytesField", "CustomField", "Field", "FloatField", "IntField", "JSONField", "NDArrayField", "RGBImageField",
        "TorchTensorField",
    ],
    "replay": ["Replay", "replay_image", "replay_views"],
    "rng": [
        "DRAW", "KEY_EPOCH", "KEY_SEED", "SAMPLE_HIGH", "SAMPLE_LOW", "STATE", "STREAM", "U32", "U64", "checked_seed",
        "integer", "keys", "normal", "permutation", "philox", "philox_numpy", "stream", "tensor_normals", "uniform",
        "word",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("module", "names"), NAMES.items())
def test_an_old_module_has_its_names_and_an_alias_lists_them(module, names):
    found = import_module(f"data_loading.{module}")
    assert not [name for name in names if not hasattr(found, name)]
    if hasattr(found, "__all__"):  # an alias; data_loading.batch itself has not moved
        assert sorted(found.__all__) == sorted(names)
