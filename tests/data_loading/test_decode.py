"""Decoding: what Pillow can read decodes to Pillow's pixels; everything else is a DecodeError."""

import io
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from data_loading.config.once import warn_once
from data_loading.decode import decode_jpeg, decode_png, decode_raw, header, raw
from data_loading.decode.file import read_image
from data_loading.errors import DecodeError
from data_loading.fields import RGBImageField


def random_image(height=24, width=33):
    blocks = np.random.default_rng(0).integers(0, 256, (height // 3 + 1, width // 3 + 1, 3))
    return np.kron(blocks, np.ones((3, 3, 1)))[:height, :width].astype(np.uint8)


def encoded(mode="RGB", kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(random_image()).convert(mode).save(file, kind, **options)
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
    # Both use libjpeg-turbo with the accurate DCT, so the pixels are equal.
    np.testing.assert_array_equal(decode_jpeg(data), by_pillow(data))


@pytest.mark.parametrize("data", JPEGS.values(), ids=JPEGS)
def test_a_large_enough_buffer_holds_the_pixels(data):
    buffer = np.zeros(24 * 33 * 3 + 10, np.uint8)
    image = decode_jpeg(np.frombuffer(data, np.uint8), buffer)
    assert np.shares_memory(image, buffer) and image.shape == (24, 33, 3)
    np.testing.assert_array_equal(image, by_pillow(data))


def test_a_buffer_that_is_too_small_is_not_written():
    buffer = np.zeros(10, np.uint8)
    np.testing.assert_array_equal(decode_jpeg(JPEGS["colour"], buffer), by_pillow(JPEGS["colour"]))
    assert not buffer.any()


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xd8", b"\xff\xd8" + bytes(100), encoded()[: len(encoded()) // 2], encoded(kind="PNG"), b"words" * 9],
    ids=["nothing", "two bytes", "zeros", "half a file", "a PNG", "words"],
)
def test_data_that_is_not_a_complete_jpeg_is_a_decode_error(data):
    with pytest.raises(DecodeError, match="not a readable JPEG") as caught:
        decode_jpeg(data)
    assert "0x" not in str(caught.value)  # Pillow's message has the address of its BytesIO


def with_sides(height, width):
    """The colour JPEG with other sides written into its header."""
    data = bytearray(JPEGS["colour"])
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data", [with_sides(65535, 65535), with_sides(25, 33), JPEGS["cmyk"]], ids=["huge", "25", "cmyk"]
)
def test_a_size_other_than_the_records_is_refused_before_memory_is_allocated(data):
    tracemalloc.start()
    with pytest.raises(DecodeError, match="its record says 32 x 24|cannot come from"):
        decode_jpeg(data, size=(24, 32))
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert decode_jpeg(JPEGS["colour"], size=(24, 33)).shape == (24, 33, 3)


@pytest.mark.parametrize("data", [JPEGS["cmyk"], JPEGS["grey"], encoded(kind="PNG")], ids=["cmyk", "grey", "png"])
def test_pillows_pixel_limit_does_not_apply_to_jpeg_and_png(data, monkeypatch):
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Image.open raises above twice the limit and warns above it
    monkeypatch.setattr("data_loading.decode.raw.LARGE", 100)
    kind = "PNG" if data[:1] == b"\x89" else "JPEG"
    np.testing.assert_array_equal(raw.decode_with_pillow(data, kind), expected)
    stored = read_image(data)
    np.testing.assert_array_equal(decode_jpeg(stored) if isinstance(stored, bytes) else stored, expected)


def test_a_size_that_the_bytes_cannot_hold_is_refused_before_memory_is_allocated():
    png = bytearray(encoded(kind="PNG"))
    png[16:24] = (60000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    tracemalloc.start()
    for data in (with_sides(60000, 60000), bytes(png)):
        with pytest.raises(DecodeError, match="60000 x 60000 pixels cannot come from [0-9]+ bytes"):
            read_image(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_an_arithmetic_coded_jpeg_keeps_pillows_pixel_limit():
    data = with_sides(60000, 60000).replace(b"\xff\xc0", b"\xff\xc9")  # arithmetic coding
    tracemalloc.start()
    with pytest.raises(
        DecodeError, match="60000 x 60000 pixels, but only baseline and progressive Huffman-coded JPEGs"
    ):
        read_image(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert header.UNBOUND == 2 * Image.MAX_IMAGE_PIXELS  # above this, Image.open raises
    assert read_image(with_sides(100, 100).replace(b"\xff\xc0", b"\xff\xc9"))


def test_files_of_other_formats_keep_pillows_pixel_limit(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(DecodeError, match="not a readable image: .*exceeds limit .*; store it as JPEG or PNG"):
        read_image(encoded(kind="BMP"))


def test_a_png_of_a_size_other_than_the_records_is_refused():
    with pytest.raises(DecodeError, match="the image is 33 x 24, its record says 33 x 23"):
        decode_png(encoded(kind="PNG"), size=(23, 33))


def test_half_decodes_a_jpeg_at_half_its_size():
    blocks = np.kron(np.random.default_rng(0).integers(0, 256, (12, 17, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(blocks[:95, :131]).save(file, "JPEG", quality=95, subsampling=0)
    half = decode_jpeg(file.getvalue(), size=(95, 131), half=True)
    assert half.shape == (48, 66, 3)
    # The blocks of colour are the DCT's 8 x 8 blocks; each becomes 4 x 4 pixels of its colour.
    assert abs(half[:44, :64].astype(int) - blocks[::2, ::2][:44, :64]).max() <= 3
    assert decode_jpeg(JPEGS["cmyk"], half=True).shape == (24, 33, 3)


def test_the_fast_dct_differs_by_a_few_levels():
    quick = decode_jpeg(JPEGS["colour"], fast_dct=True).astype(int)
    assert 0 < abs(quick - by_pillow(JPEGS["colour"])).max() <= 12


def test_a_stored_png_decodes_to_the_original_colours():
    image = random_image()
    data = cv2.imencode(".png", image)[1].tobytes()  # as the fork writes it: OpenCV takes the RGB array as BGR
    np.testing.assert_array_equal(decode_png(data), image)
    buffer = np.zeros(image.size, np.uint8)
    assert np.shares_memory(decode_png(np.frombuffer(data, np.uint8), buffer), buffer)
    np.testing.assert_array_equal(buffer.reshape(image.shape), image)


def test_a_truncated_png_is_a_decode_error():
    with pytest.raises(DecodeError, match="not a readable PNG"):
        decode_png(encoded(kind="PNG")[:-40])


def test_raw_pixels_are_a_view_and_another_length_is_refused():
    image = random_image()
    data = np.frombuffer(image.tobytes(), np.uint8)
    out = decode_raw(data, *image.shape[:2])
    assert np.shares_memory(out, data)
    np.testing.assert_array_equal(out, image)
    with pytest.raises(DecodeError, match="raw image of 33 x 25"):
        decode_raw(data, 25, 33)


# Depths other than 8 bits.

RAMP = np.linspace(0, 65535, 24 * 33).astype(np.uint16).reshape(24, 33)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_by_the_range_of_its_type_and_that_is_said_once(kind, caplog):
    warn_once.cache_clear()
    expected = np.rint(RAMP / 257)  # 65535 = 255 * 257
    for _ in range(2):
        image = read_image(saved(Image.fromarray(RAMP), kind))
        np.testing.assert_array_equal(image, np.repeat(expected[:, :, None], 3, axis=2))
    assert caplog.text.count("16-bit images are scaled to 8 bits by the range of their type") == 1


def test_16_bit_colour_keeps_the_upper_8_bits():
    colour = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=2)
    done, data = cv2.imencode(".png", colour[:, :, ::-1])
    assert done
    assert np.abs(read_image(data.tobytes()).astype(int) - colour / 257).max() <= 1


@pytest.mark.parametrize("mode", ["I;16", "I;16B", "I;16L"])
def test_a_pillow_image_of_16_bits_is_scaled_too(mode):
    order = ">u2" if mode == "I;16B" else "<u2"
    image = Image.frombytes(mode, (33, 24), RAMP.astype(order).tobytes())
    _, data = RGBImageField().encode(image)
    np.testing.assert_array_equal(np.frombuffer(data, np.uint8)[::3], np.rint(RAMP / 257).ravel())


@pytest.mark.parametrize(
    ("pixels", "words"),
    [(RAMP.astype(np.int32), "32-bit integers of unknown range"),
     ((RAMP / 65535).astype(np.float32), "floating-point numbers of unknown range; scale them to 8 or 16 bits")],
)  # fmt: skip
def test_32_bit_integers_and_floats_are_refused(pixels, words):
    with pytest.raises(DecodeError, match=words):
        read_image(saved(Image.fromarray(pixels), "TIFF"))
    with pytest.raises(DecodeError, match=words):
        RGBImageField().encode(Image.fromarray(pixels))


@pytest.mark.parametrize("mode", ["L", "1", "LA", "P"])
def test_grey_and_one_bit_images_keep_pillows_pixels(mode):
    data = encoded(mode, "PNG")
    np.testing.assert_array_equal(read_image(data), by_pillow(data))
