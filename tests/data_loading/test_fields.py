"""Fields: values of every type are read back unchanged, and values that a field cannot store are refused."""

import json
import math

import numpy as np
import pytest
import torch

from data_loading import DatasetWriter, Reader
from data_loading.beton import layout
from data_loading.errors import BetonError, ConfigError
from data_loading.fields import (
    BytesField,
    FloatField,
    IntField,
    JSONField,
    NDArrayField,
    RGBImageField,
    TorchTensorField,
)

LISTED = [1, 2.5, None, True, "é世\u0000", {"a": []}]
FIELDS = {
    "i": IntField(),
    "f": FloatField(),
    "image": RGBImageField(),
    "blob": BytesField(),
    "facts": JSONField(),
    "array": NDArrayField(np.dtype("<f4"), (2, 3)),
    "tensor": TorchTensorField(torch.int16, (4,)),
}


def sample(i):
    rng = np.random.default_rng(i)
    image = rng.integers(0, 256, (3 + i, 4, 3)).astype(np.uint8)
    array = rng.normal(size=(2, 3)).astype("<f4")
    return -i, i / 3, image, bytes(range(i)), {"i": i, "l": LISTED}, array, torch.arange(4, dtype=torch.int16) + i


@pytest.fixture(scope="module")
def all_seven(tmp_path_factory):
    path = tmp_path_factory.mktemp("fields") / "all.beton"
    DatasetWriter(path, FIELDS).from_indexed_dataset([sample(i) for i in range(7)], progress=False)
    return Reader(path)


def written(path, field, values):
    DatasetWriter(path, {"x": field}).from_indexed_dataset([(value,) for value in values], progress=False)
    return Reader(path)


def test_values_of_all_seven_types_are_read_back(all_seven):
    for i in range(7):
        found = all_seven[i]
        for name, value in zip(FIELDS, sample(i), strict=True):
            if name in ("image", "array", "tensor"):
                np.testing.assert_array_equal(found[name], np.asarray(value))
            else:
                assert found[name] == value and type(found[name]) is type(value)


def test_batches_of_values_equal_single_values_in_any_order(all_seven):
    rows = np.array([6, 0, 3, 3])
    for name in FIELDS:
        batch = all_seven.values(name, rows)
        for k, row in enumerate(rows):
            np.testing.assert_array_equal(batch[k], all_seven.value(name, row))
    dtypes = {name: all_seven.values(name, rows).dtype.str for name in ("i", "f", "array", "tensor")}
    assert dtypes == {"i": "<i8", "f": "<f8", "array": "<f4", "tensor": "<i2"}
    assert all_seven.values("array", rows).shape == (4, 2, 3)
    assert isinstance(all_seven.values("blob", rows), list)


def test_values_are_copies(all_seven):
    for name in ("array", "tensor", "image"):
        value, batch = all_seven.value(name, 2), all_seven.values(name, [2])
        for array in (value, batch[0]):
            assert array.flags.writeable and not np.shares_memory(array, all_seven.memory)


def test_columns_of_numbers_are_whole_arrays(all_seven):
    assert all_seven.column("i").tolist() == [-i for i in range(7)]
    assert all_seven.column("f").dtype == np.float64 and all_seven.column("f")[2] == 2 / 3
    with pytest.raises(BetonError, match="'blob' is of type bytes, not int or float"):
        all_seven.column("blob")


def test_field_descriptors_of_arrays_have_the_bytes_of_the_format(all_seven):
    data = all_seven.memory.tobytes()
    record = data[24 + 5 * 1041 + 17 :][:1024]
    assert record[:256] == (2).to_bytes(8, "little") + (3).to_bytes(8, "little") + bytes(240)
    assert record[256:280] == (13).to_bytes(8, "little") + b'[["", "<f4"]]' + bytes(3)
    assert all_seven.fields["array"].shape == (2, 3) and all_seven.fields["tensor"].dtype == np.int16


def test_json_is_stored_with_a_terminating_zero_as_ffcv_does(tmp_path):
    reader = written(tmp_path / "a.beton", JSONField(), [{"ü": [1, float("inf")]}])
    text = json.dumps({"ü": [1, float("inf")]}).encode() + b"\0"
    assert text in reader.memory[1 << 21 :][:100].tobytes()
    assert reader.value("x", 0) == {"ü": [1, math.inf]}


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [("|b1", (5,)), ("<f2", (1, 2, 3)), (">i4", (2,)), ("<c8", (3, 1)), ("<f4", (2, 0, 3)), ("<i8", (1,) * 31 + (2,)),
     ("<U3", (2,)), ("<M8[ns]", (2,)), ("|S5", (1,)), ("<f8", (300, 40))],
)  # fmt: skip
def test_arrays_of_unusual_dtypes_and_shapes_are_read_back(tmp_path, dtype, shape):
    raw = np.random.default_rng(0).integers(0, 2, (3, *shape))
    values = list(raw.astype(dtype))
    reader = written(tmp_path / "a.beton", NDArrayField(dtype, shape), values)
    for i, value in enumerate(values):
        found = reader.value("x", i)
        assert found.dtype.str == dtype and found.shape == shape
        np.testing.assert_array_equal(found, value)
    np.testing.assert_array_equal(reader.values("x", [2, 0]), np.stack([values[2], values[0]]))


def test_arrays_are_stored_in_c_order_and_in_the_declared_byte_order(tmp_path):
    value = np.arange(6, dtype=">i4").reshape(3, 2).T
    reader = written(tmp_path / "a.beton", NDArrayField("<i4", (2, 3)), [value])
    assert reader.memory[1 << 21 :][:24].tobytes() == np.array([0, 2, 4, 1, 3, 5], "<i4").tobytes()


def test_tensors_that_require_gradients_and_numpy_arrays_are_accepted(tmp_path):
    values = [torch.ones(2, requires_grad=True), torch.zeros(4)[::2], np.array([3, 4], np.float32)]
    reader = written(tmp_path / "a.beton", TorchTensorField(torch.float32, (2,)), values)
    assert reader.values("x", range(3)).tolist() == [[1, 1], [0, 0], [3, 4]]


def test_empty_values_have_distinct_addresses_and_entries_in_the_allocation_table(tmp_path):
    fields = {"a": BytesField(), "b": NDArrayField("<f4", (0, 2)), "c": BytesField()}
    samples = [(b"", np.empty((0, 2), "<f4"), b"xy"), (b"", np.empty((0, 2), "<f4"), b"")]
    DatasetWriter(tmp_path / "a.beton", fields).from_indexed_dataset(samples, progress=False)
    reader = Reader(tmp_path / "a.beton")
    start = int.from_bytes(reader.memory[16:24].tobytes(), "little")
    table = np.frombuffer(reader.memory[start:].tobytes(), layout.ALLOCATION)
    assert table["size"].tolist() == [0, 0, 2, 0, 0, 0] and len(set(table["ptr"])) == 6
    assert reader.values("c", [0, 1]) == [b"xy", b""] and reader.value("b", 1).shape == (0, 2)


def test_no_empty_value_is_stored_past_the_end_of_its_page(tmp_path):
    page = 1 << 21
    reader = written(tmp_path / "a.beton", BytesField(), [bytes(page), b"", bytes(page - 1), b"", b""])
    assert reader.values("x", range(5)) == [bytes(page), b"", bytes(page - 1), b"", b""]
    start = int.from_bytes(reader.memory[16:24].tobytes(), "little")
    table = np.frombuffer(reader.memory[start:].tobytes(), layout.ALLOCATION)
    assert (table["ptr"] < start).all() and len(set(table["ptr"])) == 5


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        (FloatField(), "1.5", "takes numbers, got '1.5' of type str"),
        (FloatField(), None, "takes numbers"),
        (BytesField(), "text", "takes bytes or a uint8 array .*, got str"),
        (BytesField(), np.zeros(3), "arrays of uint8 .*, got float64"),
        (JSONField(), {1, 2}, "cannot be written as JSON"),
        (NDArrayField("f4", (2,)), [1.0, 2.0], "takes numpy arrays, got list"),
        (NDArrayField("f4", (2,)), np.zeros(2), "stores float32 .2,., got float64 .2,.; cast the value"),
        (NDArrayField("f4", (2,)), np.zeros((2, 1), "f4"), r"got float32 \(2, 1\)"),
        (TorchTensorField("f4", (2,)), torch.zeros(2, dtype=torch.bfloat16), "cannot be converted to numpy"),
    ],
)
def test_values_that_a_field_cannot_store_are_refused_with_the_name_of_the_field(tmp_path, field, value, words):
    with pytest.raises(BetonError, match=f"sample 0: field 'x': .*{words}"):
        written(tmp_path / "a.beton", field, [value])


def test_json_that_contains_itself_or_is_nested_too_deeply_is_refused(tmp_path):
    loop, deep = [], []
    loop.append(loop)
    for _ in range(100_000):
        deep = [deep]
    for value in (loop, deep):
        with pytest.raises(BetonError, match="field 'x': .*cannot be written as JSON"):
            written(tmp_path / "a.beton", JSONField(), [value])
    while deep:  # otherwise freeing it would recurse
        deep = deep.pop()


@pytest.mark.parametrize(
    ("dtype", "shape", "words"),
    [
        ("f4", (), "0-dimensional arrays; use shape"),
        ("f4", (3, 0), "the last side at least 1"),
        ("f4", (-1, 2), "at least 0"),
        ("f4", (1,) * 33, "at most 32 dimensions"),
        ([("a", "f4"), ("b", "i4")], (2,), "plain scalar type"),
        (object, (2,), "plain scalar type"),
        ("f4", (2.5,), "each side must be an integer"),
        ("float33", (2,), "float33"),
        (torch.bfloat16, (2,), "bfloat16"),
    ],
)
def test_array_fields_that_the_format_cannot_store_are_refused_at_once(dtype, shape, words):
    with pytest.raises(ConfigError, match=words):
        (TorchTensorField if dtype is torch.bfloat16 else NDArrayField)(dtype, shape)


@pytest.mark.parametrize("value", [np.float32(2.5), np.array(2.5, np.float32), np.array([2.5], np.float32)])
def test_a_scalar_fills_an_array_of_one_number_as_in_ffcv(tmp_path, value):
    path = tmp_path / "a.beton"
    DatasetWriter(path, {"x": NDArrayField(np.dtype("float32"), (1,))}).from_indexed_dataset([(value,)])
    np.testing.assert_array_equal(Reader(path)[0]["x"], [2.5])


def test_a_scalar_fills_no_larger_array(tmp_path):
    writer = DatasetWriter(tmp_path / "a.beton", {"x": NDArrayField(np.dtype("float32"), (2,))})
    with pytest.raises(BetonError, match=r"the field stores float32 \(2,\), got float32 \(\)"):
        writer.from_indexed_dataset([(np.float32(2.5),)])
