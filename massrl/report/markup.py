"""The HTML of the report: style sheet, escaping, pictures as data URIs. No script, no request to anywhere.

Jinja2 was tried: its macros give the same bytes from as many lines (63 of template for 66 of Python), but the text then
has to be marked as safe wherever `words` and `page` compose it, and neither mypy nor ruff reads a template.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path

from data_loading.config.atomic import write_whole
from data_loading.errors import printable
from massrl.report.style import DARK, DPI, LIGHT, dark

GROUND = {
    "light": {**LIGHT, "page": "#f5f6f8", "accent": "#2f6fde", "soft": "#eaf1fd", "good": "#177d45", "bad": "#b93636"},
    "dark": {**DARK, "page": "#111318", "accent": "#7fabff", "soft": "#1e2a40", "good": "#5fcf92", "bad": "#ff8a8a"},
}


def style_sheet() -> str:
    """page.css below the colours of both themes."""
    light, dim = ("; ".join(f"--{name}: {colour}" for name, colour in GROUND[t].items()) for t in ("light", "dark"))
    colours = (
        f":root {{ color-scheme: light dark; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dim} }} }}\n"
    )
    return colours + files("massrl.report").joinpath("page.css").read_text(encoding="utf-8")


def page(title: str, body: str) -> str:
    """A whole document around `body`."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{style_sheet()}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str, kind: str = "") -> str:
    """A card with a heading; nothing where it has no content."""
    content = "\n".join(part for part in parts if part)
    if not content:
        return ""
    head = f"<h2>{escape(heading)}</h2>\n" if heading else ""
    return f"<section{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>\n{head}{content}\n</section>"


class Html(str):
    """Text that is HTML already; everything else in a table or a list of definitions is escaped."""


def html(text: str) -> Html:
    """`text` as HTML: unchanged if it is that already, else escaped."""
    return text if isinstance(text, Html) else Html(escape(text))


def paragraph(text: str, kind: str = "") -> str:
    """A paragraph of HTML: what comes from a run must have been escaped."""
    return f"<p{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{text}</p>" if text else ""


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table; of a cell that is Html and begins with <td, the tag is its own."""
    cells = "".join(f"<th>{html(cell)}</th>" for cell in head)
    lines = ("".join(map(_cell, row)) for row in rows)
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>\n<thead><tr>{cells}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def _cell(text: str) -> str:
    own = isinstance(text, Html) and text.startswith("<td")
    return text if own else f"<td>{html(text)}</td>"


def picture(path: Path, caption: str, alt: str) -> str:
    """A PNG of run/figures, with its dark twin where there is one, inside the page; nothing where it is not there."""
    if not path.exists():
        return ""
    other = f'<source srcset="{_uri(dark(path))}" media="(prefers-color-scheme: dark)">' if dark(path).exists() else ""
    return (
        f'<figure><picture>{other}<img src="{_uri(path)}" width="{_width(path)}" alt="{escape(alt)}"></picture>\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def side_by_side(figures: Sequence[str]) -> str:
    """Figures beside each other where there is room."""
    content = "\n".join(filter(None, figures))
    return f'<div class="side">\n{content}\n</div>' if content else ""


def _uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"


def _width(path: Path) -> int:
    """CSS pixels of a PNG drawn at style.DPI: its width stands in bytes 16 to 19; 96 CSS pixels are an inch."""
    return round(int.from_bytes(path.read_bytes()[16:20], "big") * 96 / DPI)


def details(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>" if text else ""


def definitions(pairs: Sequence[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{html(k)}</dt><dd>{html(v)}</dd>' for k, v in pairs)}</dl>" if pairs else ""


def write(path: Path, text: str) -> Path:
    """Write a page; control characters and bytes that are no UTF-8, as names of files may hold, are shown as such."""
    return write_whole(path, printable(text))


def commands(*lines: str) -> str:
    return f"<pre>{escape(chr(10).join(lines))}</pre>"
