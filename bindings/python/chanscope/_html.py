"""How results look in a notebook and at the prompt: a table, and heat maps as pictures inside the page."""

from __future__ import annotations

import base64
import struct
import zlib
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._redundancy import LayerRedundancy

#: Channels along the side of a heat map; more are averaged.
_PIXELS = 256
#: Layers whose heat maps are shown.
_SHOWN = 12
#: Colours from 0 to 1, dark to light, even in lightness (those of matplotlib's viridis).
_COLOURS = np.array(
    [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
     [170, 220, 50], [253, 231, 37]], dtype=float,
)  # fmt: skip
_HEAD = ("layer", "shape", "dead", "neighbours", "overlap", "Jaccard", "redundancy", "LOO error")


def _cells(layer: LayerRedundancy) -> list[str]:
    def number(value: float | None) -> str:
        return "-" if value is None or np.isnan(value) else f"{value:.3f}"

    def mean(values: np.ndarray | None) -> float | None:
        live = values[~np.isnan(values)] if values is not None else np.array([])
        return float(live.mean()) if len(live) else None

    return [
        layer.name,
        "x".join(map(str, layer.shape)),
        str(len(layer.dead_channels)),
        number(mean(layer.neighbors_mean)),
        number(layer.overlap_mean),
        number(layer.jaccard_mean),
        number(layer.redundancy),
        number(mean(layer.loo_error)),
    ]


def table_text(layers: list[LayerRedundancy]) -> str:
    """The table at the prompt."""
    rows = [list(_HEAD), *map(_cells, layers)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    lines = []
    for row in rows:
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def redundancy(layers: list[LayerRedundancy]) -> str:
    """The table and the heat maps of Jaccard indices, as HTML that needs nothing else."""
    head = "".join(f"<th>{escape(h)}</th>" for h in _HEAD)
    body = ""
    for layer in layers:
        body += "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(layer)) + "</tr>"
    maps = ""
    for layer in layers[:_SHOWN]:
        if layer.jaccard.size > 1:
            caption = escape(layer.name)
            maps += (
                '<figure style="display:inline-block;margin:0.5em">'
                f'<img alt="Jaccard indices of the channels of {caption}" src="{picture(layer.jaccard)}" '
                'style="width:160px;height:160px;image-rendering:pixelated">'
                f'<figcaption style="text-align:center">{caption}</figcaption></figure>'
            )
    note = ""
    if len(layers) > _SHOWN and maps:
        note = f"<p>Heat maps of the first {_SHOWN} of {len(layers)} layers.</p>"
    if maps:
        maps = f"<p>Jaccard index between channels, dark 0 to light 1; dead channels are grey.</p><div>{maps}</div>{note}"
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{maps}</div>"


def picture(matrix: np.ndarray) -> str:
    """Values from 0 to 1 as the address of a PNG; NaN is grey."""
    step = -(-len(matrix) // _PIXELS)
    if step > 1:
        matrix = _averaged(matrix, step)
    dead = np.isnan(matrix)
    at = np.clip(np.where(dead, 0, matrix), 0, 1) * (len(_COLOURS) - 1)
    low = np.minimum(at.astype(int), len(_COLOURS) - 2)
    share = (at - low)[..., None]
    colours = np.round(_COLOURS[low] * (1 - share) + _COLOURS[low + 1] * share).astype(np.uint8)
    colours[dead] = 160
    rows = b"".join(b"\0" + row.tobytes() for row in colours)
    size = struct.pack(">IIBBBBB", colours.shape[1], colours.shape[0], 8, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _averaged(matrix: np.ndarray, step: int) -> np.ndarray:
    """Means over squares of `step` channels, NaN left out."""
    pad = -len(matrix) % step
    padded = np.pad(matrix, ((0, pad), (0, pad)), constant_values=np.nan)
    side = len(padded) // step
    blocks = padded.reshape(side, step, side, step)
    count = np.sum(~np.isnan(blocks), axis=(1, 3))
    return np.where(count > 0, np.nansum(blocks, axis=(1, 3)) / np.maximum(count, 1), np.nan)
