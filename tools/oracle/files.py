"""Dumps in, results out: the file layout of the command line's contract."""
import json
import pathlib
from dataclasses import dataclass

import numpy as np


@dataclass
class Layer:
    name: str
    path: pathlib.Path
    values: np.ndarray  # float64 [N, C, d]
    shape: list

    def channel(self, c):
        return self.values[:, c]

    @property
    def whole(self):
        return self.values.reshape(len(self.values), -1)


def read_dump(path, layers=None, images=None):
    """(layers, labels or None) of a folder of .npy files or of one such file."""
    path = pathlib.Path(path)
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    labels = None
    found = []
    for file in files:
        if file.name == "labels.npy":
            labels = np.load(file).astype(np.int64)[:images]
        elif layers is None or file.stem in layers:
            raw = np.load(file, mmap_mode="r")[:images]
            values = np.asarray(raw, np.float64)
            values = values.reshape(len(values), raw.shape[1] if raw.ndim == 4 else 1, -1)
            found.append(Layer(file.stem, file, values, list(raw.shape)))
    return found, labels


def write_subset(path, layers, labels):
    """The same layers as a dump of their own, in the dtype of the originals."""
    path = pathlib.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    for layer in layers:
        np.save(path / f"{layer.name}.npy", np.load(layer.path, mmap_mode="r")[: layer.shape[0]])
    if labels is not None:
        np.save(path / "labels.npy", labels)


def write_graphs(folder, graphs):
    """neighbors, sq_distances, weights, objective, degenerate; and of the oracle only: unique, margin."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = {
        "neighbors": np.int32, "sq_distances": np.float32, "weights": np.float32, "objective": np.float32,
        "degenerate": bool, "unique": bool, "margin": np.float64,
    }
    for field, dtype in fields.items():
        np.save(folder / f"{field}.npy", np.stack([getattr(graph, field) for graph in graphs]).astype(dtype))


def read_graphs(folder):
    """The arrays that `--save-graph` wrote, by name."""
    names = ["neighbors", "sq_distances", "weights", "objective", "degenerate"]
    arrays = {name: np.load(folder / f"{name}.npy") for name in names}
    for optional in ("unique", "margin"):
        if (folder / f"{optional}.npy").exists():
            arrays[optional] = np.load(folder / f"{optional}.npy")
    return arrays


def read_results(folder):
    return json.loads((pathlib.Path(folder) / "results.json").read_text())


def write_results(folder, command, parameters, layers):
    document = {
        "schema": "chanscope/1", "version": "oracle", "command": command, "parameters": parameters,
        "device": {"name": "numpy", "backend": "oracle", "driver": f"numpy {np.__version__}"},
        "redundancy": {"layers": layers},
    }
    text = json.dumps(document, indent=1, allow_nan=False)
    (pathlib.Path(folder) / "results.json").write_text(text + "\n")
