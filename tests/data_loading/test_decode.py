"""Decoding: what Pillow reads is read, with Pillow's pixels; what it does not is one typed error."""

import io
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from data_loading.decode import decode_jpeg, decode_png, decode_raw, header, raw
from data_loading.decode.file import read_image
from data_loading.errors import DecodeError


def drawn(height=24, width=33):
    blocks = np.random.default_rng(0).integers(0, 256, (height // 3 + 1, width // 3 + 1, 3))
    return np.kron(blocks, np.ones((3, 3, 1)))[:height, :width].astype(np.uint8)


def encoded(mode="RGB", kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(drawn()).convert(mode).save(file, kind, **options)
    return file.getvalue()


def by_pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


JPEGS = {
    "colour": encoded(),
    "full chroma": encoded(subsampling=0, quality=95),
    "grey": encoded("L"),
    "cmyk": encoded("CMYK"),
    "progressive": encoded(progressive=True),
    "stray bytes before the end": encoded()[:-2] + b"\x00\x00\x00" + encoded()[-2:],
}


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_decodes_to_pillows_pixels(data):
    # Both stand on libjpeg-turbo with the accurate DCT: equal, not close.
    np.testing.assert_array_equal(decode_jpeg(data), by_pillow(data))


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS)
def test_a_large_enough_buffer_holds_the_pixels(data):
    buffer = np.zeros(24 * 33 * 3 + 10, np.uint8)
    image = decode_jpeg(np.frombuffer(data, np.uint8), buffer)
    assert np.shares_memory(image, buffer) and image.shape == (24, 33, 3)
    np.testing.assert_array_equal(image, by_pillow(data))


def test_a_buffer_that_is_too_small_is_left_alone():
    buffer = np.zeros(10, np.uint8)
    np.testing.assert_array_equal(decode_jpeg(JPEGS["colour"], buffer), by_pillow(JPEGS["colour"]))
    assert not buffer.any()


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8" + bytes(100), encoded()[: len(encoded()) // 2], encoded(kind="PNG"), b"words" * 9],
    ids=["nothing", "two bytes", "zeros", "half a file", "a PNG", "words"],
)
def test_what_is_no_whole_jpeg_is_a_decode_error_in_words(data):
    with pytest.raises(DecodeError, match="not a readable JPEG") as caught:
        decode_jpeg(data)
    assert "0x" not in str(caught.value)  # Pillow names the address of its BytesIO


def promising(height, width):
    """The colour JPEG with other sides in its header."""
    data = bytearray(JPEGS["colour"])
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data", [promising(65535, 65535), promising(25, 33), JPEGS["cmyk"]], ids=["huge", "25", "cmyk"]
)
def test_a_header_that_disagrees_with_the_table_is_refused_before_memory_is_taken(data):
    tracemalloc.start()
    with pytest.raises(DecodeError, match="the file's table says 32 x 24|cannot come from"):
        decode_jpeg(data, size=(24, 32))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert decode_jpeg(JPEGS["colour"], size=(24, 33)).shape == (24, 33, 3)


@pytest.mark.parametrize("data", [JPEGS["cmyk"], JPEGS["grey"], encoded(kind="PNG")], ids=["cmyk", "grey", "png"])
def test_pillows_limit_on_pixels_does_not_hold_for_jpeg_and_png(data, monkeypatch):
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # twice that and Image.open raises, once and it warns
    monkeypatch.setattr("data_loading.decode.raw.LARGE", 100)
    kind = "PNG" if data[:1] == b"\x89" else "JPEG"
    np.testing.assert_array_equal(raw.by_pillow(data, kind), expected)
    stored = read_image(data)
    np.testing.assert_array_equal(decode_jpeg(stored) if isinstance(stored, bytes) else stored, expected)


def test_a_file_that_promises_more_than_its_bytes_can_hold_is_refused_before_memory_is_taken():
    png = bytearray(encoded(kind="PNG"))
    png[16:24] = (60000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    tracemalloc.start()
    for data in (promising(60000, 60000), bytes(png)):
        with pytest.raises(DecodeError, match="60000 x 60000 pixels cannot come from [0-9]+ bytes"):
            read_image(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_a_jpeg_whose_coding_bounds_nothing_keeps_pillows_limit():
    data = promising(60000, 60000).replace(b"\xff\xc0", b"\xff\xc9")  # arithmetic coding
    tracemalloc.start()
    with pytest.raises(DecodeError, match="60000 x 60000 pixels, and only baseline and progressive Huffman-coded ones"):
        read_image(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert header.UNBOUND == 2 * Image.MAX_IMAGE_PIXELS  # where Image.open refuses
    assert read_image(promising(100, 100).replace(b"\xff\xc0", b"\xff\xc9"))


def test_files_of_other_kinds_keep_pillows_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DecodeError, match="not a readable image: .*exceeds limit .*; store it as JPEG or PNG"):
        read_image(encoded(kind="BMP"))


def test_a_png_of_another_size_than_the_tables_is_refused():
    with pytest.raises(DecodeError, match="the image is 33 x 24, the file's table says 33 x 23"):
        decode_png(encoded(kind="PNG"), size=(23, 33))


def test_half_a_jpeg_is_the_image_at_half_its_size():
    blocks = np.kron(np.random.default_rng(0).integers(0, 256, (12, 17, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks[:95, :131]).save(file, "JPEG", quality=95, subsampling=0)
    half = decode_jpeg(file.getvalue(), size=(95, 131), half=True)
    assert half.shape == (48, 66, 3)
    # Blocks of 8 are the DCT's own: each becomes 4 x 4 of its colour.
    assert abs(half[:44, :64].astype(int) - blocks[::2, ::2][:44, :64]).max() <= 3
    assert decode_jpeg(JPEGS["cmyk"], half=True).shape == (24, 33, 3)


def test_the_quick_dct_is_off_by_a_few_levels():
    quick = decode_jpeg(JPEGS["colour"], fast_dct=True).astype(int)
    assert 0 < abs(quick - by_pillow(JPEGS["colour"])).max() <= 12


def test_a_stored_png_comes_back_in_true_colours():
    image = drawn()
    data = cv2.imencode(".png", image)[1].tobytes()  # as the fork writes it: OpenCV takes RGB for BGR
    np.testing.assert_array_equal(decode_png(data), image)
    buffer = np.zeros(image.size, np.uint8)
    assert np.shares_memory(decode_png(np.frombuffer(data, np.uint8), buffer), buffer)
    np.testing.assert_array_equal(buffer.reshape(image.shape), image)


def test_a_png_cut_short_is_a_decode_error():
    with pytest.raises(DecodeError, match="not a readable PNG"):
        decode_png(encoded(kind="PNG")[:-40])


def test_raw_pixels_are_a_view_of_the_right_length():
    image = drawn()
    data = np.frombuffer(image.tobytes(), np.uint8)
    out = decode_raw(data, *image.shape[:2])
    assert np.shares_memory(out, data)
    np.testing.assert_array_equal(out, image)
    with pytest.raises(DecodeError, match="raw image of 33 x 25"):
        decode_raw(data, 25, 33)
