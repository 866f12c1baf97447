"""A run on one page: plain rows and charts into HTML that needs no network and no script, or facts
into Markdown.

All that comes from data, as the names of classes and files, is escaped: in HTML everything, in
Markdown by the filters `text` and `code`.
"""

from __future__ import annotations

import base64
import functools
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, StrictUndefined, Template

from lite0ca.plots import markdown

REPORT = "report.html"
GENERATOR = '<meta name="generator" content="lite0ca">'  # says of a page that it is ours
JPEG_QUALITY = 80


def page(source: str = REPORT, **facts) -> str:
    """The page; `facts` are what `source` names, a file beside this one."""
    return template(source).render(**facts)


@functools.cache
def template(source: str) -> Template:
    environment = Environment(
        autoescape=source.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("text", "code", "quoted", "shell")
    environment.filters |= {name: getattr(markdown, name) for name in names}
    return environment.from_string(Path(__file__).with_name(source).read_text(encoding="utf-8"))


def as_data(photo: np.ndarray) -> str:
    """A uint8 RGB photo (H, W, 3) as the address of a JPEG that is the picture itself."""
    return f"data:image/jpeg;base64,{base64.b64encode(as_jpeg(photo)).decode()}"


def as_jpeg(photo: np.ndarray) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    _, content = cv2.imencode(".jpg", cv2.cvtColor(photo, cv2.COLOR_RGB2BGR), options)
    return content.tobytes()
