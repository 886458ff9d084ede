"""Damaged files of every kind: a right value, or one sentence that names the file (and the field); never anything else.

A small file with every field type and image mode is damaged in one to four places: cut, lengthened, bits and bytes
changed, numbers set to extremes, names, JSON of brackets, images that promise other sizes.
"""

import json
import resource
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_loading import Reader
from data_loading.beton import layout
from data_loading.beton.output import Output
from data_loading.beton.workers import encode
from data_loading.errors import BetonError, DecodeError, UserError
from data_loading.fields import (
    BytesField,
    FloatField,
    IntField,
    JSONField,
    NDArrayField,
    RGBImageField,
    TorchTensorField,
)

PAGE = 4096  # smaller than a writer's pages: more of the file's bytes mean something
FIELDS = {
    "n": IntField(),
    "jpg": RGBImageField("jpg"),
    "x": FloatField(),
    "blob": BytesField(),
    "raw": RGBImageField("raw"),
    "facts": JSONField(),
    "array": NDArrayField("<f4", (2, 3)),
    "png": RGBImageField("png"),
    "flags": TorchTensorField("|b1", (3,)),
    "words": NDArrayField("<U2", (2,)),
}
EXTREMES = (0, 1, 2, 3, 255, 1 << 15, (1 << 16) - 1, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, 1 << 63,
            (1 << 64) - 4096, (1 << 64) - 1)  # fmt: skip


def written(path, fields, samples):
    """A file with pages of 4 KiB."""
    output = Output(path, fields, len(samples), PAGE)
    for row in range(len(samples)):
        output.add(encode(samples, fields, row))
    output.finish()
    return path


def sample(i):
    image = np.random.default_rng(i).integers(0, 256, (5 + i, 7, 3)).astype(np.uint8)
    array, words = np.full((2, 3), i, "<f4"), np.array(["ab", "ü"], "<U2")
    return (
        i,
        image,
        i / 3,
        bytes(range(i)),
        image,
        {"i": [i, None, "ü"]},
        array,
        image,
        np.array([1, 0, 1], bool),
        words,
    )


class Good:
    """The undamaged file, and where its parts lie."""

    def __init__(self, folder):
        self.path = folder / "fuzz.beton"
        self.data = written(folder / "good.beton", FIELDS, [sample(i) for i in range(4)]).read_bytes()
        self.path.write_bytes(self.data)
        reader = Reader(self.path)
        record = layout.record_dtype([field.type_id for field in FIELDS.values()]).itemsize
        start = layout.records_start(len(FIELDS))
        table = int.from_bytes(self.data[16:24], "little")
        self.parts = {
            "head": list(range(24)),
            "names": [24 + 1041 * k + i for k in range(len(FIELDS)) for i in range(18)],
            "arguments": [24 + 1041 * k + i for k in (6, 8, 9) for i in [*range(17, 41), *range(273, 297)]],
            "records": list(range(start, start + 4 * record)),
            "pages": [at for at in range(PAGE, table) if self.data[at]],
            "table": list(range(table, len(self.data))),
            "json": reader._spans["facts"][0].tolist(),
        }
        self.parts["jpeg sizes"] = [self.data.index(b"\xff\xc0", ptr) + 5 for ptr in reader.image_table("jpg").ptr]
        self.parts["png sizes"] = [int(ptr) + 16 for ptr in reader.image_table("png").ptr]

    def damaged(self, damages):
        data = bytearray(self.data)
        for kind, part, where, value in damages:
            if not data:
                break  # cut, and what was left removed
            places = self.parts[part]
            at = min(places[where % len(places)], len(data) - 1)
            if kind == "cut":
                del data[max(at, 1) :]
            elif kind == "remove":
                del data[at : at + 1 + value % 32]
            elif kind == "insert":
                data[at:at] = bytes(value % 5000)
            elif kind == "bit":
                data[at] ^= 1 << value % 8
            elif kind == "byte":
                data[at] = value % 256
            elif kind == "copy":
                other = places[value % len(places)]
                data[at : at + 8] = data[other : other + 8]
            elif kind == "brackets":
                data[at : at + 2000] = b"[" * 2000
            else:
                size = (2, 4, 8)[value % 3]
                order = "big" if "sizes" in part else "little"
                data[at : at + size] = (EXTREMES[value % len(EXTREMES)] % (1 << 8 * size)).to_bytes(size, order)
        return bytes(data)


PARTS = ("head", "names", "arguments", "records", "pages", "table", "json", "jpeg sizes", "png sizes")
KINDS = ("bit", "bit", "byte", "extreme", "extreme", "extreme", "copy", "brackets", "cut", "insert", "remove")
VALUES = ("pages", "pages", "json", "jpeg sizes", "png sizes")  # only what is behind a sound head and table


def damages(kinds, parts):
    one = st.tuples(st.sampled_from(kinds), st.sampled_from(parts), st.integers(0, 4095), st.integers(0, 1 << 16))
    return st.lists(one, min_size=1, max_size=4)


DAMAGES = damages(KINDS, PARTS) | damages(("bit", "byte", "extreme", "copy"), VALUES)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return Good(tmp_path_factory.mktemp("fuzz"))


def outcome(path):
    """ "read", "refused" (not opened) or "faulty" (opened, a value refused); whatever else happens is a failure."""
    try:
        reader = Reader(path)
    except UserError as error:
        assert isinstance(error, BetonError) and str(error).startswith(str(path)) and "\n" not in str(error)
        return "refused"
    faulty = False
    with reader:
        for name, field in reader.fields.items():
            for i in range(len(reader)):
                try:
                    check_value(reader, name, field, i)
                except (BetonError, DecodeError) as error:
                    assert str(error).startswith(f"{path}: sample {i}: field {name!r}: ") and "\n" not in str(error)
                    faulty = True
    return "faulty" if faulty else "read"


def check_value(reader, name, field, i):
    """The value has the type, dtype and shape that the file's head and record say."""
    value = reader.value(name, i)
    if field.kind == "image":
        table = reader.image_table(name)
        assert value.dtype == np.uint8 and value.shape == (table.height[i], table.width[i], 3)
    elif field.kind in ("ndarray", "tensor"):
        assert (value.dtype, value.shape) == (field.dtype, field.shape)
        np.testing.assert_array_equal(reader.values(name, [i])[0].tobytes(), value.tobytes())
        repr(value)
    else:
        kinds = {"int": int, "float": float, "bytes": bytes, "json": (dict, list, str, int, float, bool, type(None))}
        assert isinstance(value, kinds[field.kind])


def run(good, damages):
    good.path.write_bytes(good.damaged(damages))
    return outcome(good.path)


def test_the_undamaged_file_is_read(good):
    good.path.write_bytes(good.data)
    assert outcome(good.path) == "read"


@settings(max_examples=400, deadline=None, derandomize=True, database=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(damages=DAMAGES)
def test_a_damaged_file_gives_right_values_or_a_sentence(good, damages):
    started = time.monotonic()
    run(good, damages)
    assert time.monotonic() - started < 20  # a few milliseconds, and nothing waits for ever


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_many_thousands_of_damaged_files(good, capsys):
    found, before, started = Counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    slowest = 0.0

    @settings(max_examples=40_000, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(damages=DAMAGES)
    def all_of_them(damages):
        nonlocal slowest
        begun = time.monotonic()
        found[run(good, damages)] += 1
        slowest = max(slowest, time.monotonic() - begun)

    all_of_them()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    seconds = time.monotonic() - started
    with capsys.disabled():
        print(f"\nfuzz: {sum(found.values())} files in {seconds:.0f} s, the slowest {slowest:.2f} s, memory grew by at "
              f"most {grown:.0f} MiB; {', '.join(f'{n} {what}' for what, n in sorted(found.items()))}")  # fmt: skip
    assert grown < 500 and slowest < 20


def one_value(path, field, value, data):
    """A file of one sample whose stored bytes are `data`, whatever the field would store for `value`."""

    class Stored(type(field)):
        def encode(self, value, row=0):
            record, stored = super().encode(value, row)
            return ((len(data),) if self.kind in ("json", "bytes") else record), data

    stored = Stored.__new__(Stored)
    vars(stored).update(vars(field))
    page = 1 << max(12, (len(data) - 1).bit_length())
    output = Output(path, {"x": stored}, 1, page)
    output.add(encode([(value,)], {"x": stored}, 0))
    output.finish()
    return Reader(path)


@pytest.mark.parametrize(
    "text", [b"[" * 10**7, b'{"a":' * 10**6, b"1" * 10**5, b"\xff\xfe", b"", b"\0", b"{", b'"\xc3"', b"NaN x"],
    ids=["brackets", "braces", "digits", "no utf-8", "nothing", "a zero", "unfinished", "half a letter", "more"],
)  # fmt: skip
def test_json_that_means_nothing_or_is_too_deep_names_file_and_field(tmp_path, text):
    reader = one_value(tmp_path / "a.beton", JSONField(), 0, text)
    with pytest.raises(BetonError, match=r"a\.beton: sample 0: field 'x': its JSON cannot be read"):
        reader.value("x", 0)


def with_sizes(mode, image, height, width):
    """A stored image whose own header is changed to promise (height, width)."""
    (_, _, _), data = RGBImageField(mode).encode(image)
    data = bytearray(data)
    if mode == "jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    else:
        data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)


class Promised(RGBImageField):
    """Stores what it is told as an image of the size that it is told."""

    def encode(self, value, row=0):
        return value


def promised(path, mode, height, width, data):
    return written(path, {"x": Promised()}, [(((mode, width, height), data),)])


@pytest.mark.parametrize(("mode", "number"), [("jpg", 0), ("png", 2)])
def test_an_image_that_promises_65535_pixels_a_side_is_refused_before_memory_is_taken(tmp_path, mode, number):
    data = with_sizes(mode, np.zeros((8, 8, 3), np.uint8), 65535, 65535)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for height, width, words in ((65535, 65535, "65535 x 65535 pixels cannot come from"), (8, 8, "cannot come from")):
        reader = Reader(promised(tmp_path / "a.beton", number, height, width, data))
        with pytest.raises(DecodeError, match=rf"a\.beton: sample 0: field 'x': .*{words}"):
            reader.value("x", 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024  # KiB; the image has 12 GB


@pytest.mark.parametrize(("mode", "number"), [("jpg", 0), ("png", 2)])
def test_an_image_that_disagrees_with_its_record_is_refused(tmp_path, mode, number):
    _, data = RGBImageField(mode).encode(np.zeros((8, 9, 3), np.uint8))
    reader = Reader(promised(tmp_path / "a.beton", number, 9, 8, data))
    with pytest.raises(BetonError, match=r"sample 0: field 'x': damaged: the image is 9 x 8, its record says 8 x 9"):
        reader.value("x", 0)


@pytest.mark.parametrize("dtype", ["|O", "<f4,<f4", "(2,)<f4", "<f3", "x" * 100, "|V0", "<f99999999999", "O8", ""])
def test_dtypes_that_are_no_plain_numbers_are_refused_unread(tmp_path, dtype):
    class Named(NDArrayField):
        def arguments(self):
            record = np.frombuffer(bytearray(super().arguments()), layout.ARRAY)
            words = json.dumps([["", dtype]]).encode()
            record["length"], record["dtype"] = len(words), words
            return record.tobytes()

    path = written(tmp_path / "a.beton", {"x": Named("<f4", (2,))}, [(np.zeros(2, "<f4"),)])
    with pytest.raises(BetonError, match=r"a\.beton: field 'x': .*(plain scalar type|smaller than 4 GiB)"):
        Reader(path)


@pytest.mark.parametrize("sides", [(1 << 62, 1 << 62, 4), (2, 0, 1 << 59)])
def test_a_shape_whose_product_overflows_is_refused(tmp_path, sides):
    class Large(NDArrayField):
        def arguments(self):
            record = np.frombuffer(bytearray(super().arguments()), layout.ARRAY)
            record["shape"][0, :3] = sides
            return record.tobytes()

    path = written(tmp_path / "a.beton", {"x": Large("<f4", (2,))}, [(np.zeros(2, "<f4"),)])
    with pytest.raises(BetonError, match="field 'x': .* a value must fit on one page, which is smaller than 4 GiB"):
        Reader(path)
