"""Turns Markdown into one HTML file that needs no others."""

import base64
import html
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 52rem; margin: 2rem auto;
       padding: 0 1rem }
h1, h2 { line-height: 1.2 } h2 { border-bottom: 2px solid #0072B2; padding-bottom: .2rem; margin-top: 2.5rem }
img { max-width: min(100%, 44rem); height: auto } code { background: #f2f2f2; padding: 0 .2em;
       overflow-wrap: break-word } pre { white-space: pre-wrap }
table { border-collapse: collapse; font-size: .92em; display: block; overflow-x: auto }
th, td { text-align: left; padding: .25rem .7rem; border-bottom: 1px solid #ddd; vertical-align: top }
th { background: #f2f6fa } blockquote { margin: .3rem 0; padding: .1rem 1rem; border-left: 4px solid #56B4E9 }
@media print { h2 { break-after: avoid } img, table { break-inside: avoid } }
"""


def page(title: str, markdown: str, folder: Path) -> str:
    """Return an HTML page that contains its pictures.

    HTML in the Markdown is shown as text, because people wrote it. Pictures outside of `folder` are left out.

    Args:
        title: title of the page.
        markdown: its content.
        folder: where its pictures are.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or []:
            if child.type == "image":
                _embed(child, folder.resolve())
    body = parser.renderer.render(tokens, parser.options, {})
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head>\n'
        f"<body>\n{body}</body></html>\n"
    )


def _embed(image: Any, folder: Path) -> None:
    path = (folder / str(image.attrs["src"])).resolve()
    if path.suffix == ".png" and path.is_relative_to(folder) and path.is_file():
        image.attrs["src"] = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    else:
        image.attrs["src"] = ""
