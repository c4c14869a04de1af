"""The recorder when something goes wrong: whole batches, one clear error, nothing half written."""

from __future__ import annotations

import os
import pathlib
import resource

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from recording import described, images
from torch import nn

import chanscope as cs


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


class Breaks(nn.Module):
    """Raises after its first layer when it is told to."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.error = (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
            nn.Sequential(nn.Conv2d(4, 2, 3), nn.ReLU()),
            None,
        )

    def forward(self, x):
        x = self.first(x)
        if self.error is not None:
            raise self.error
        return self.second(x)


def run(model, *batches, **options):
    with torch.no_grad(), cs.record(model, "dump", **options) as recorder:
        for x in batches:
            model(x)
    return recorder


def nothing_left():
    return list(pathlib.Path().iterdir()) == []


@pytest.mark.parametrize("error", [ValueError("a"), KeyboardInterrupt()])
def test_an_exception_leaves_the_whole_batches(error):
    model = Breaks().eval()
    with pytest.raises(type(error)), torch.no_grad(), cs.record(model, "dump") as recorder:
        for i in range(3):
            model.error = error if i == 2 else None
            recorder.labels([i, i])
            model(images(2, seed=i))
    about, found = described()
    model.error = None
    with torch.no_grad():
        second = torch.cat([model(images(2, seed=i)) for i in range(2)])
    np.testing.assert_array_equal(found["second.1"], second.numpy())
    assert found["first.1"].shape[0] == 4 and not about["complete"]
    assert np.load("dump/labels.npy").tolist() == [0, 0, 1, 1]
    assert os.listdir() == ["dump"]


def test_an_exception_that_is_caught_costs_its_batch_only():
    model = Breaks().eval()
    with torch.no_grad(), cs.record(model, "dump"):
        for i in range(4):
            model.error = ValueError() if i in (0, 2) else None
            try:
                model(images(2, seed=i))
            except ValueError:
                pass
    about, found = described()
    model.error = None
    with torch.no_grad():
        np.testing.assert_array_equal(found["second.1"], torch.cat([model(images(2, seed=i)) for i in (1, 3)]).numpy())
    assert about["complete"] and about["samples"] == found["first.1"].shape[0] == 4


def test_a_first_batch_that_fails_leaves_nothing():
    model = Breaks().eval()
    model.error = ValueError()
    with pytest.raises(ValueError):
        run(model, images(2))
    assert nothing_left()
    with pytest.raises(cs.Error, match="no forward pass of Breaks ran"), cs.record(model, "dump"):
        pass
    assert nothing_left()


def test_batches_of_other_shapes_are_refused():
    model = Breaks().eval()
    with pytest.raises(ValueError, match=r"'first.1' has maps of shape \[4, 18, 18\].*\[4, 14, 14\].*same size"):
        run(model, images(2), images(2, 20))
    assert described()[0]["samples"] == 2


def test_layers_that_come_and_go_are_refused():
    class Sometimes(Breaks):
        def forward(self, x):
            x = self.first(x)
            self.count = getattr(self, "count", -1) + 1
            if self.count == self.at:
                return x
            return self.second(x)

    model = Sometimes().eval()
    model.at = 1
    with pytest.raises(ValueError, match="'second.1' ran in earlier batches and did not run in this one"):
        run(model, images(2), images(2))
    assert described()[1]["first.1"].shape[0] == 2

    class Again(Breaks):
        def forward(self, x):
            if getattr(self, "again", False):
                self.first(x)
            self.again = True
            return self.second(self.first(x))

    with pytest.raises(ValueError, match="'first.1.1' ran in this batch and did not run in the first one"):
        run(Again().eval(), images(2), images(2), force=True)


def test_layers_that_cannot_be_recorded():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pair, self.top = nn.Conv2d(3, 4, 3), Pair(), nn.Softmax(0)
            self.fold = nn.ReLU()

        def forward(self, x):
            maps = torch.relu(self.conv(x))
            self.pair(maps)
            self.top(maps.mean((1, 2, 3)))
            return self.fold(maps.reshape(-1, 1, 14, 14))

    class Pair(nn.Module):
        def forward(self, x):
            return x, x.argmax(1)

    model = Odd().eval()
    for layers, text in [
        ("pair", "'pair' returns a tuple"),
        ("top", r"'top' has the shape \[2\]"),
        (["conv", "fold"], "'fold' has 8 rows, other layers have 2"),
    ]:
        with pytest.raises(ValueError, match=text):
            run(model, images(2), layers=layers)
        assert nothing_left()
    with pytest.warns(UserWarning, match="'fold' is left out: it has 8 rows"):
        assert run(model, images(2)).layers == ["relu"]


@pytest.mark.parametrize("layers", ["nope", ["first.1", "third.*"], nn.Conv3d, "first.1.7"])
def test_a_pattern_that_matches_nothing_lists_what_there_is(layers):
    with pytest.raises(
        ValueError,
        match="matches nothing.*Activations: first.1, second.1. Other modules: first.0, first, second.0, second",
    ):
        run(Breaks().eval(), images(2), layers=layers)
    assert nothing_left()


def test_entries_of_layers():
    for layers in ([], 3, [None], [""]):
        with pytest.raises(ValueError, match="layers="):
            cs.record(Breaks(), "dump", layers=layers)
    with pytest.raises(ValueError, match="Did you mean 'second.1'"):
        run(Breaks().eval(), images(1), layers="secnd.1")


def test_labels_and_ids_of_each_batch_or_none():
    model = Breaks().eval()

    def labelled(*steps, error):
        with pytest.raises(ValueError, match=error), torch.no_grad(), cs.record(model, "dump", force=True) as recorder:
            for step in steps:
                model(images(2)) if step is None else recorder.labels(step)

    labelled(None, [1.0, 2.0], error=r"expected integers of shape \[n\], got float64")
    labelled(None, [[1], [2]], error=r"int64 of shape \[2, 1\]")
    labelled(None, [1, 2, 3], error="3 were given for a batch of 2 samples")
    labelled([1], None, error="1 were given for a batch of 2 samples")
    labelled(None, [1, 2], None, None, error="missing for the batch before")
    labelled(None, None, [1, 2], error="the batches before this one have none")
    labelled(None, [1, 2], [3, 4], [5, 6], error="given twice")
    labelled(None, [1, 2], None, error="missing for the last batch; dump holds the 2 samples before it")
    assert described()[0]["samples"] == 2
    labelled(None, [1, 2], [3, 4], error="2 were given after the last batch; dump holds the 2 samples")
    with pytest.raises(ValueError, match="line break"), cs.record(model, "dump", force=True) as recorder:
        recorder.ids(["a\nb"])


def test_what_exists_is_kept():
    model = Breaks().eval()
    run(model, images(2))
    before = pathlib.Path("dump/first.1.npy").read_bytes()
    with pytest.raises(ValueError, match="dump exists.*force=True"):
        cs.record(model, "dump")
    with pytest.raises(ValueError, match="matches nothing"):
        run(model, images(1), layers="nope", force=True)
    assert pathlib.Path("dump/first.1.npy").read_bytes() == before
    run(model, images(1), layers="second.1", force=True)
    assert sorted(os.listdir("dump")) == ["record.json", "second.1.npy"]
    pathlib.Path("dump/thesis.tex").write_text("")
    with pytest.raises(ValueError, match="holds 'thesis.tex'"):
        cs.record(model, "dump", force=True)
    pathlib.Path("file").write_text("")
    with pytest.raises(ValueError, match="not a folder"):
        cs.record(model, "file", force=True)
    with pytest.raises(OSError, match="cannot make the folder"), cs.record(model, "file/dump"):
        pass
    assert sorted(os.listdir()) == ["dump", "file"]


def test_a_full_disk_leaves_the_samples_that_were_written():
    model = Breaks().eval()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))  # first.1 takes 6272 bytes for two samples
    try:
        with pytest.raises(OSError, match="cannot write first.1.npy: File too large"):
            run(model, *(images(2, seed=i) for i in range(50)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    about, found = described()
    assert about["samples"] == 12 and not about["complete"]
    with torch.no_grad():
        np.testing.assert_array_equal(
            found["second.1"], torch.cat([model(images(2, seed=i)) for i in range(6)]).numpy()
        )


def test_threads_at_once_are_refused():
    class Parallel(Breaks):
        def forward(self, x):
            if x.shape[0] > 1:
                import concurrent.futures

                with concurrent.futures.ThreadPoolExecutor(1) as pool:
                    pool.submit(self, x[:1]).result()
            return super().forward(x)

    with pytest.raises(ValueError, match="several threads at once"):
        run(Parallel().eval(), images(2))
