"""Every kind of input gives the results of the same values as a float32 array."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import chanscope as cs


def measure(x, **options):
    return cs.redundancy({"a": x}, k=5, save_graph=True, device="cpu", **options)


@pytest.fixture
def half(activations) -> np.ndarray:
    """Values that float16 and bfloat16 hold exactly."""
    return np.round(activations * 16) / 16


@pytest.fixture
def expected(half):
    return measure(half)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", ">f2"])
def test_element_types(half, expected, dtype):
    assert measure(half.astype(dtype)) == expected


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_memory_formats(half, expected, dtype):
    half = half.astype(dtype)
    assert measure(np.asfortranarray(half)) == expected
    assert measure(half[::-1].copy()[::-1]) == expected
    assert measure(np.repeat(half, 2, axis=3)[..., ::2]) == expected
    assert measure(half.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)) == expected
    assert measure(np.broadcast_to(half[:, :1], half.shape)) == measure(np.repeat(half[:, :1], 4, axis=1))


def test_float16_is_as_in_a_file(half):
    """Values that are no round numbers, one of them the smallest there is, under every cap and by every reader."""
    half = (half * 0.3).astype(np.float16)
    half[5, 1, 2, 2] = 2.0**-24
    np.save("a.npy", half)
    options = dict(aggregate=True, queries=30, strongest=True)
    expected = measure("a.npy", **options)
    assert expected == measure(half.astype(np.float32), **options)
    odd = np.zeros(half.nbytes + 1, np.uint8)[1:].view(np.float16).reshape(half.shape)
    odd[:] = half
    assert odd.__array_interface__["data"][0] % 2 == 1
    for x in (half, half.astype(">f2"), odd, OnlyRows(half), np.load("a.npy", mmap_mode="r")):
        assert measure(x, **options) == expected
        assert measure(x, memory="64MiB", threads=1, **options) == expected
    one = dict(channels=[3, 1])
    assert measure(OnlyRows(half), **one) == measure(half, **one) == measure("a.npy", **one)


def test_rows_have_the_type_that_was_promised(half):
    rows = OnlyRows(half.astype(np.float16))
    rows.values = half.astype(np.float32)
    with pytest.raises(cs.DataError, match="rows hold float32, where float16 was promised"):
        measure(rows)


def test_numbers_of_dimensions(half):
    lines, rows = half.reshape(60, 4, 9), half.reshape(60, 36)
    assert measure(lines)["a"].shape == (60, 4, 1, 9)
    assert measure(rows)["a"].shape == (60, 1, 1, 36)
    aggregate = cs.redundancy(half, k=5, aggregate=True, save_graph=True, device="cpu")["layer"].aggregate
    np.testing.assert_array_equal(aggregate.neighbors, measure(rows)["a"].graphs.neighbors)


def test_bytes_are_read_as_they_are(rng):
    x = rng.integers(0, 255, (40, 2, 3, 3))
    assert measure(x.astype(np.uint8)) == measure(x.astype(np.float32))


def test_files_folders_and_lists(half, expected, tmp_path):
    (tmp_path / "dump").mkdir()
    np.save("dump/a.npy", half)
    for given in ("dump", tmp_path / "dump", "dump/a.npy", ["dump/a.npy"]):
        assert cs.redundancy(given, k=5, save_graph=True, device="cpu") == expected
    assert cs.redundancy({"a": "dump/a.npy"}, k=5, save_graph=True, device="cpu") == expected
    several = cs.redundancy({"a": half, "file": "dump/a.npy", "other/name": half}, k=5, device="cpu")
    assert list(several) == ["a", "file", "other.name"] and several["other/name"].name == "other.name"


def test_labels_of_every_kind(activations, labels):
    np.save("y.npy", labels)
    expected = cs.redundancy(activations, labels, k=5, device="cpu")
    for y in (labels.tolist(), labels.astype(np.uint8), labels[:, None], "y.npy"):
        assert cs.redundancy(activations, y, k=5, device="cpu") == expected


class OnlyRows:
    """What has a shape, an element type and rows, and nothing else; it remembers how many rows were asked for at once."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.most = values, values.shape, values.dtype, 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        assert isinstance(rows, slice)
        self.most = max(self.most, rows.stop - rows.start)
        return self.values[rows]


def test_objects_with_rows(half, expected):
    assert measure(OnlyRows(half)) == expected
    assert measure(OnlyRows(half), channels=[3, 0]) == measure(half, channels=[3, 0])


def test_rows_are_asked_for_in_blocks(rng):
    x = rng.standard_normal((600, 2, 64, 64)).astype(np.float16)  # 19 MiB as float32
    rows = OnlyRows(x)
    cs.redundancy(rows, k=2, channels=[0], device="cpu")
    assert 0 < rows.most <= 8 * 2**20 / (2 * 64 * 64 * 4)


def test_what_a_reader_raises_is_raised():
    class Broken(OnlyRows):
        def __getitem__(self, rows):
            raise LookupError("the disk is gone")

    with pytest.raises(LookupError, match="the disk is gone"):
        measure(Broken(np.ones((30, 2, 3, 3), np.float32)))


def test_values_beyond_float32_are_counted(half):
    half = half.astype(np.float64)
    half[5, 1, 2, 0] = 1e300
    for x in (half, OnlyRows(half)):
        with pytest.raises(cs.DataError, match="float32"):
            measure(x)


def test_memory_maps(half, expected):
    np.save("a.npy", half)
    for mode in ("r", "r+", "c"):
        mapped = np.load("a.npy", mmap_mode=mode)
        assert measure(mapped) == expected
        assert measure(mapped[10:]) == measure(half[10:])


def test_h5py(half, expected):
    h5py = pytest.importorskip("h5py")
    with h5py.File("a.h5", "w") as file:
        file.create_dataset("x", data=half, chunks=(7, 2, 3, 3), compression="gzip")
        assert measure(file["x"]) == expected


def test_zarr(half, expected):
    zarr = pytest.importorskip("zarr")
    x = zarr.create_array(store="a.zarr", shape=half.shape, chunks=(7, 2, 3, 3), dtype="float32")
    x[:] = half
    assert measure(x) == expected


def test_dask(half, expected):
    dask = pytest.importorskip("dask.array")
    assert measure(dask.from_array(half, chunks=(7, 2, 3, 3))) == expected


class TestTorch:
    """Tensors of PyTorch."""

    @pytest.fixture(autouse=True)
    def torch(self):
        self.torch = pytest.importorskip("torch")

    def test_element_types(self, half, expected):
        for dtype in ("float16", "bfloat16", "float32", "float64"):
            assert measure(self.torch.tensor(half).to(getattr(self.torch, dtype))) == expected

    def test_float16_memory_formats(self, half, expected):
        x = self.torch.tensor(half).half()
        assert measure(x.to(memory_format=self.torch.channels_last)) == expected
        assert measure(x.flip(0).flip(0)) == expected
        assert measure(x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)) == expected

    def test_gradients_and_memory_formats(self, half, expected):
        x = self.torch.tensor(half, requires_grad=True)
        assert measure(x) == expected
        assert measure(x * 1) == expected
        assert measure(x.detach().to(memory_format=self.torch.channels_last)) == expected
        assert measure(x.detach().flip(0).flip(0)) == expected

    def test_files(self, half, expected):
        self.torch.save(self.torch.tensor(half), "a.pt")
        assert cs.redundancy("a.pt", k=5, save_graph=True, device="cpu") == expected
        self.torch.save({"a": self.torch.tensor(half), "step": 7, "one": self.torch.ones(3)}, "b.pth")
        assert cs.redundancy("b.pth", k=5, save_graph=True, device="cpu") == expected

    def test_files_that_hold_code_are_refused(self):
        self.torch.save({"a": subprocess.run}, "bad.pt")
        with pytest.raises(cs.DataError, match=r"bad\.pt: torch cannot load it"):
            cs.redundancy("bad.pt")

    def test_devices_without_a_copy_on_the_host(self):
        with pytest.raises(cs.DataError, match="device meta"):
            measure(self.torch.ones((30, 2, 3, 3), device="meta"))

    def test_labels(self, activations, labels):
        expected = cs.redundancy(activations, labels, k=5, device="cpu")
        assert cs.redundancy(activations, self.torch.tensor(labels), k=5, device="cpu") == expected


#: The largest resident size of this program so far. That of `getrusage` begins with the one of the process that started it.
PEAK = """
def peak():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:")) << 10
"""
STREAMED = PEAK + """
import sys
import numpy as np
import chanscope as cs
kind, memory = sys.argv[1], sys.argv[2]
if kind == "h5py":
    import h5py
    x = h5py.File("x.h5")["x"]
elif kind == "memmap":
    x = np.load("x.npy", mmap_mode="r")
else:
    x = np.load("x.npy")
small = np.random.default_rng(0).standard_normal((40, 2, 3, 3)).astype(np.float32)
cs.redundancy(small, k=2, device="cpu", memory=memory)
before = peak()
cs.redundancy(x, k=2, channels=[0, 1], device="cpu", memory=memory)
after = peak()
print(after - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is measured as Linux reports it")
@pytest.mark.parametrize("kind", ["array", "memmap", "h5py"])
def test_peak_memory_grows_by_less_than_the_input(rng, kind):
    """200 MiB of input, 64 MiB of working sets: an array in memory is not copied, and what is read in blocks is never in
    memory as a whole."""
    x = rng.standard_normal((200, 256, 32, 32), dtype=np.float32)
    np.save("x.npy", x)
    if kind == "h5py":
        h5py = pytest.importorskip("h5py")
        with h5py.File("x.h5", "w") as file:
            file["x"] = x
    run = [sys.executable, "-c", STREAMED, kind, "64MiB"]
    grown = int(subprocess.run(run, check=True, capture_output=True, text=True).stdout)
    assert grown < 96 * 2**20 < x.nbytes / 2


WHOLE = PEAK + """
import sys
import numpy as np
import chanscope as cs
kind, dtype = sys.argv[1:]
x = np.empty((100, 1, 256, 1024), dtype)
for i in range(100):
    x[i] = np.random.default_rng(i).standard_normal((1, 256, 1024)).astype(np.float16)
if kind == "torch":
    import torch
    x = torch.from_numpy(x)
options = dict(k=2, queries=2, baselines=False, device="cpu", memory="2GiB", threads=1)
cs.redundancy(np.ones((40, 1, 3, 3), dtype) * np.arange(40).reshape(-1, 1, 1, 1), **options)
before = peak()
found = cs.redundancy(x, **options)["layer"]
after = peak()
print(after - before, found.neighbors_mean.tobytes().hex())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is measured as Linux reports it")
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_float16_stays_float16_in_memory(kind):
    """50 MiB of float16 in memory, whose rows are kept as a whole: as float32 they take more than as they are."""
    if kind == "torch":
        pytest.importorskip("torch")
    grown = {}
    for dtype in ("float16", "float32"):
        run = [sys.executable, "-c", WHOLE, kind, dtype]
        size, mean = subprocess.run(run, check=True, capture_output=True, text=True).stdout.split()
        grown[dtype] = int(size), mean
    values = 100 * 256 * 1024
    assert grown["float16"][1] == grown["float32"][1]
    assert grown["float16"][0] < grown["float32"][0] - values, grown
