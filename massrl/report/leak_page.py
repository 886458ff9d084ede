"""The picture page of `massrl data check`: each pair side by side with names, score and verdict, in one HTML file."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import ExitStack
from html import escape
from pathlib import Path

import cv2

from data_loading.beton.reader import Reader
from data_loading.decode.jpeg import encode_jpeg
from massrl.leaks.check import MEANING, VERDICTS, DataCheck, Pair
from massrl.leaks.marked import FORM, as_line
from massrl.report import markup

MOST = 1000  # pairs with pictures, the surest first: about 5 MB
SIDE = 128  # pixels; larger images are reduced


def build(found: DataCheck, path: str | Path) -> Path:
    """Write the page of `found` to `path` and return its path; the images are read from the .beton files again."""
    shown = found.pairs[:MOST]
    with ExitStack() as stack:
        train = stack.enter_context(Reader(found.files["train"]))
        images = stack.enter_context(Reader(found.files["against"])) if "against" in found.files else train
        parts = [_section(verdict, [p for p in shown if p.verdict == verdict], images, train) for verdict in VERDICTS]
    body = [_head(found), *parts, _left_out(found), _marking(found.pairs)]
    text = markup.page(found.caption(), "\n".join(filter(None, body)))
    return markup.write(path, text)


def _head(found: DataCheck) -> str:
    head, *rows = found.cells()
    loud = [markup.paragraph(f"<b>{escape(words)}</b>", "bad") for words in found.warnings]
    title = (
        "Duplicates within the images" if "against" not in found.given else "Test images that are in the training set"
    )
    intro = (
        f"<header><h1>{title}</h1>\n"
        f'<p class="muted">{escape(found.caption()[0].upper() + found.caption()[1:])}.</p></header>'
    )
    return intro + markup.section("", *loud, markup.table(head, rows))


def _section(verdict: str, pairs: Sequence[Pair], images: Reader, train: Reader) -> str:
    if not pairs:
        return ""
    cards = "\n".join(_card(pair, images, train) for pair in pairs)
    heading = f"{verdict[0].upper()}{verdict[1:]}: {len(pairs)} pair{'s' if len(pairs) > 1 else ''}"
    words = f"{MEANING[verdict][0].upper()}{MEANING[verdict][1:]}. The training image is on the right."
    return markup.section(heading, markup.paragraph(escape(words), "muted"), f'<div class="pairs">\n{cards}\n</div>')


def _card(pair: Pair, images: Reader, train: Reader) -> str:
    pictures = _picture(images, pair.row, pair.name) + _picture(train, pair.train_row, pair.train_name)
    names = f"<code>{escape(pair.name)}</code> and <code>{escape(pair.train_name)}</code>"
    return f"<figure>{pictures}<figcaption><b>{pair.score:.3f}</b> {names}</figcaption></figure>"


def _picture(reader: Reader, row: int, name: str) -> str:
    """An <img> with the pixels inside; small images are shown with square pixels."""
    image = reader.value(reader.image_field, row)
    longer = max(image.shape[:2])
    if longer > SIDE:
        height, width = (max(1, round(side * SIDE / longer)) for side in image.shape[:2])
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    small = longer <= 64
    if small:
        data, kind = cv2.imencode(".png", image[:, :, ::-1])[1].tobytes(), "png"  # OpenCV takes BGR
    else:
        data, kind = encode_jpeg(image, 85), "jpeg"
    uri = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{uri}"{" class=small" if small else ""} alt="{escape(name)}">'


def _left_out(found: DataCheck) -> str:
    more = len(found.pairs) - MOST
    return markup.section("", markup.paragraph(f"{more} more pairs are not shown; --json has all.")) if more > 0 else ""


def _marking(pairs: Sequence[Pair]) -> str:
    """How to mark pairs, with the lines of all that are to be looked at, to be copied."""
    if not pairs:
        return ""
    words = f"Append the lines of pairs that are no duplicates to a file, and give it as --pairs FILE. It is a {FORM}."
    lines = "\n".join(as_line(pair.name, pair.train_name) for pair in pairs if pair.verdict != VERDICTS[0])
    return markup.section(
        "No duplicates?", markup.paragraph(escape(words)), markup.details("Lines of the pairs", lines)
    )
