"""How results look in a notebook and at the prompt: a table, and heat maps as pictures inside the page."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ._ablate import Ablation
    from ._filters import LayerFilters
    from ._network import LayerImpulse, TensorShuffle
    from ._layer import LayerRedundancy

#: Channels along the side of a heat map; more are averaged.
_PIXELS = 256
#: Layers whose heat maps are shown.
_SHOWN = 12
#: Colours from 0 to 1, dark to light, even in lightness (those of matplotlib's viridis).
_COLOURS = np.array(
    [[68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
     [170, 220, 50], [253, 231, 37]], dtype=float,
)  # fmt: skip
#: A head and rows of cells.
Table = tuple[tuple[str, ...], list[list[str]]]


def number(value: float | None) -> str:
    """A number with three digits, or a dash where there is none."""
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"


def _mean(values: np.ndarray | None) -> float | None:
    live = values[~np.isnan(values)] if values is not None else np.array([])
    return float(live.mean()) if len(live) else None


def _shape(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def redundancy_table(layers: Sequence[LayerRedundancy]) -> Table:
    """A row for each layer."""
    head = ("layer", "shape", "dead", "neighbours", "overlap", "Jaccard", "redundancy", "LOO error")
    rows = [
        [
            layer.name,
            _shape(layer.shape),
            str(len(layer.dead_channels)),
            number(_mean(layer.neighbors_mean)),
            number(layer.overlap_mean),
            number(layer.jaccard_mean),
            number(layer.redundancy),
            number(_mean(layer.loo_error)),
        ]
        for layer in layers
    ]
    return head, rows


def filters_table(layers: Sequence[LayerFilters]) -> Table:
    """A row for each layer."""
    head = ("layer", "filters", "similarity", "mean of a pair", "cosine", "after minimising")
    rows = []
    for layer in layers:
        value = "-" if layer.value is None else f"{layer.value:.6g}"
        after = "-" if layer.history is None else f"{layer.history[-1]:.6g}"
        cells = [number(layer.normalized_mean), number(layer.filter_cosine_mean)]
        rows.append([layer.name, _shape(layer.shape), value, *cells, after])
    return head, rows


def impulse_table(layers: Sequence[LayerImpulse]) -> Table:
    """A row for each layer."""
    rows = [[i.name, str(i.channels), str(len(i.zero_channels)), number(i.ncc_mean)] for i in layers]
    return ("layer", "channels", "zero", "mean NCC"), rows


def shuffle_table(tensors: Sequence[TensorShuffle]) -> Table:
    """A row for each layer observed."""
    head = ("shuffled", "observed", "cosine, mean", "least", "accuracy", "one channel shuffled, mean")
    rows = []
    for tensor in tensors:
        accuracy = [number(tensor.baseline_accuracy), number(_mean(tensor.accuracy))]
        for seen in tensor.observed:
            least = float(np.nanmin(seen.cosine_mean)) if not np.isnan(seen.cosine_mean).all() else None
            rows.append([tensor.name, seen.name, number(_mean(seen.cosine_mean)), number(least), *accuracy])
    return head, rows


def ablation_table(found: Ablation) -> Table:
    """A row for each ranking, of all layers at once or of each layer."""
    parts = [("all layers", found.together)] if found.together else []
    parts += [(layer.name, layer.curves) for layer in found.layers]
    shares = next(iter(parts[0][1].values())).shares if parts and parts[0][1] else []
    head = ("layer", "ranking", *(f"{100 * share:g} %" for share in shares))
    rows = []
    for name, curves in parts:
        for curve in curves.values():
            cells = [f"{a:.3f} ± {e:.3f}" for a, e in zip(curve.accuracy, curve.standard_error)]
            rows.append([name, curve.ranking, *cells])
    return head, rows


def text(table: Table) -> str:
    """The table at the prompt."""
    rows = [list(table[0]), *table[1]]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = []
    for row in rows:
        cells = [cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def page(table: Table, what: str = "", matrices: Sequence[tuple[str, np.ndarray | None]] = ()) -> str:
    """The table, and matrices of `what` as heat maps, as HTML that needs nothing else."""
    head = "".join(f"<th>{escape(h)}</th>" for h in table[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table[1])
    shown = [(name, matrix) for name, matrix in matrices if matrix is not None and matrix.size > 1]
    maps = "".join(_figure(what, name, matrix) for name, matrix in shown[:_SHOWN])
    if maps:
        maps = f"<p>{escape(what)}, dark 0 to light 1; what has no value is grey.</p><div>{maps}</div>"
    if len(shown) > _SHOWN:
        maps += f"<p>Heat maps of the first {_SHOWN} of {len(shown)} layers.</p>"
    return f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{maps}</div>"


def _figure(what: str, name: str, matrix: np.ndarray) -> str:
    caption = escape(name)
    return (
        '<figure style="display:inline-block;margin:0.5em">'
        f'<img alt="{escape(what)} in {caption}" src="{picture(matrix)}" '
        'style="width:160px;height:160px;image-rendering:pixelated">'
        f'<figcaption style="text-align:center">{caption}</figcaption></figure>'
    )


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
