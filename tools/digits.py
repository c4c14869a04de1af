#!/usr/bin/env python3
"""The 1797 handwritten 8x8 digits of scikit-learn as two .npy files.

images.npy  u8 [1797, 1, 8, 8], values 0..16
labels.npy  u8 [1797], 0..9

Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository, doi 10.24432/C50P49, CC BY 4.0 (the test part, as scikit-learn ships it).
"""
import argparse
import pathlib

import numpy as np

TRAIN = 1437  # samples 0..1437 train, the last 360 test: a fixed split by index, other writers


def upsample(images):
    """u8 [N, 1, 8, 8] in 0..16 -> float32 [N, 1, 28, 28] in 0..1, bilinear, half-pixel centres.

    Output pixel o reads the source position s = max((o + 1/2) * 8/28 - 1/2, 0) between
    lo = floor(s) and hi = min(lo + 1, 7): out[o] = (1 - (s - lo)) * in[lo] + (s - lo) * in[hi],
    rows and columns alike. The same as torch's
    F.interpolate(mode="bilinear", align_corners=False).
    """
    weights = upsample_matrix(images.shape[-1], 28)
    scaled = images.astype(np.float64) / 16.0
    return np.einsum("yi,ncij,xj->ncyx", weights, scaled, weights, optimize=True).astype(np.float32)


def upsample_matrix(size, target):
    """Row o holds the weights that output pixel o gives to the source pixels: [target, size]."""
    position = np.maximum((np.arange(target) + 0.5) * size / target - 0.5, 0.0)
    low = np.floor(position).astype(int)
    high = np.minimum(low + 1, size - 1)
    matrix = np.zeros((target, size))
    np.add.at(matrix, (np.arange(target), low), 1.0 - (position - low))
    np.add.at(matrix, (np.arange(target), high), position - low)
    return matrix


def load(folder):
    """(images u8 [N, 1, 8, 8], labels int64 [N]) from a folder written by this script."""
    folder = pathlib.Path(folder)
    return np.load(folder / "images.npy"), np.load(folder / "labels.npy").astype(np.int64)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("assets/digits"), help="folder to write")
    out = parser.parse_args().out

    from sklearn.datasets import load_digits

    data = load_digits()
    images = data.images.astype(np.uint8)[:, None]
    assert images.shape == (1797, 1, 8, 8) and images.max() == 16 and (images == data.images[:, None]).all()
    out.mkdir(parents=True, exist_ok=True)
    np.save(out / "images.npy", images)
    np.save(out / "labels.npy", data.target.astype(np.uint8))
    print(f"{out}: {len(images)} images")


if __name__ == "__main__":
    main()
