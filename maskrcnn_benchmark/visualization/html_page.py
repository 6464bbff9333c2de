"""What the pages of results share: one HTML file that needs no other, with pictures that grow at a click."""

import base64
import html
import io
from collections.abc import Iterable

import numpy as np
from PIL import Image

from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.visualization.drawn_task import DrawnTask


def document(title: str, parts: Iterable[str], style: str = "", script: str = "") -> str:
    """A whole page: text.

    Args:
        title: plain text, the heading as well.
        parts: HTML of what follows it, in order. A click on a picture in a `section` enlarges it.
        style, script: CSS and JavaScript of this kind of page, after what all have; `enlarge(img)` of the latter shows
            a picture large.
    """
    words, body = html.escape(title), "\n".join(parts)
    return PAGE.format(title=words, body=body, style=STYLE + style, script=SCRIPT + script)


def figure(picture: np.ndarray, description: str) -> str:
    """HTML of a picture, uint8 [H, W, 3], embedded as JPEG."""
    return embedded(encoded(picture, "JPEG"), "jpeg", description)


def embedded(data: bytes, kind: str, description: str) -> str:
    """HTML of an image file's bytes of a kind such as "png", which has its room before it is decoded."""
    words, (width, height) = html.escape(description), Image.open(io.BytesIO(data)).size
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" alt="{words}" title="{words}" width="{width}" height="{height}">'


def encoded(picture: np.ndarray, file_format: str, quality: int = 88) -> bytes:
    """A picture, uint8 [H, W, 3] RGB, as the bytes of a file of Pillow's format "JPEG" (of a quality) or "PNG"."""
    buffer = io.BytesIO()
    how = {"quality": quality, "subsampling": 0} if file_format == "JPEG" else {"compress_level": 6}
    Image.fromarray(picture).save(buffer, file_format, **how)
    return buffer.getvalue()


def legend(vocabulary: Vocabulary, tasks: Iterable[DrawnTask]) -> str:
    """HTML that says what the colours mean in the drawings of some tasks."""
    groups = dict(group for task in tasks for group in task.legend(vocabulary))
    lines = [
        f"<dt>{html.escape(title)}</dt><dd>{''.join(_swatch(name, colour) for name, colour in entries)}</dd>"
        for title, entries in groups.items()
    ]
    return f"<dl>{''.join(lines)}</dl>"


def _swatch(name, colour):
    red, green, blue = colour
    return f'<span><i style="background:rgb({red},{green},{blue})"></i>{html.escape(name)}</span>'


STYLE = """
:root { color-scheme: light dark; --ground: #f6f7f9; --card: #fff; --ink: #181c24; --soft: #667085; --line: #e2e5ea; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #14171c; --card: #1d2128; --ink: #e8eaee; --soft: #98a2b3; --line: #2f353f; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 2200px; padding: 2rem 1.5rem 4rem; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
p, dt, th { color: var(--soft); }
p { margin: 0 0 1.5rem; max-width: 75ch; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1rem;
  margin: 1.25rem 0; }
section header { display: flex; gap: 1rem; align-items: center; margin-bottom: .75rem; }
.photo img { width: 120px; min-width: 120px; }
.wide { overflow-x: auto; }
table { border-spacing: 6px; width: 100%; }
th { font-weight: 600; font-size: .85rem; }
th.row { writing-mode: vertical-rl; rotate: 180deg; }
td { padding: 0; min-width: 200px; }
img { display: block; width: 100%; height: auto; border-radius: 6px; cursor: zoom-in; outline: 1px solid var(--line); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1rem; margin: 0; font-size: .9rem; }
dd { margin: 0; }
dd span { display: inline-block; margin-right: .9rem; white-space: nowrap; }
dd i { display: inline-block; width: .8em; height: .8em; border-radius: 3px; margin-right: .35em; }
dialog { border: 0; padding: 0; max-width: 96vw; max-height: 96vh; background: none; }
dialog::backdrop { background: rgb(0 0 0 / .8); }
dialog img { max-width: 96vw; max-height: 96vh; width: auto; min-width: min(60vw, 900px); cursor: zoom-out; }
"""
SCRIPT = """
const view = document.querySelector("dialog"), large = view.querySelector("img");
const enlarge = img => { large.src = img.src; view.showModal(); };
document.querySelectorAll("section img").forEach(img => img.onclick = () => enlarge(img));
view.onclick = () => view.close();
"""
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body>
<h1>{title}</h1>
{body}
<dialog><img alt="enlarged picture"></dialog>
<script>{script}</script>
</body></html>
"""
