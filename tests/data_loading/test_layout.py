"""The layout of a .beton file: offsets and record sizes, computed by hand from the format's description."""

import pytest

from data_loading.beton import layout

TYPE = layout.TYPE_IDS


def test_headers_descriptors_and_allocation_entries_have_the_sizes_of_the_format():
    assert layout.HEADER.itemsize == 24
    assert layout.DESCRIPTOR.itemsize == 1 + 16 + 1024
    assert layout.ALLOCATION.itemsize == 24
    assert layout.IMAGE.itemsize == 13 and layout.BYTES.itemsize == 16


def test_the_width_of_an_image_is_stored_before_its_height():
    offsets = [layout.IMAGE.fields[name][1] for name in ("mode", "width", "height", "ptr")]
    assert offsets == [0, 1, 3, 5]


def test_every_number_is_little_endian():
    for dtype in (layout.HEADER, layout.ALLOCATION, layout.IMAGE, layout.BYTES):
        for name in dtype.names:
            assert dtype[name].str[0] in "<|", (dtype, name)


@pytest.mark.parametrize(
    ("columns", "offsets", "size"),
    [
        (["image"], [0], 13),
        (["image", "int"], [0, 16], 24),
        (["int", "image"], [0, 8], 24),
        (["bytes", "float"], [0, 16], 24),
        (["image", "image", "bytes", "int"], [0, 13, 26, 48], 56),
        (["int", "image", "bytes", "ndarray"], [0, 8, 21, 40], 48),
        (["json", "tensor"], [0, 16], 24),
    ],
)
def test_columns_start_at_multiples_of_their_alignment(columns, offsets, size):
    dtype = layout.record_dtype([TYPE[kind] for kind in columns])
    assert [dtype.fields[name][1] for name in dtype.names] == offsets
    assert dtype.itemsize == size


def test_pages_start_at_the_next_multiple_of_the_page_size():
    assert layout.records_start(2) == 24 + 2 * 1041
    assert layout.records_end(2, 10, 24) == 24 + 2 * 1041 + 240
    assert layout.pages_start(4096, 4096) == 4096
    assert layout.pages_start(4097, 4096) == 8192
