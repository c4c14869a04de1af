//! Files of formats that are not read: how to convert each of them, in one line of Python.

use std::ffi::OsStr;
use std::path::Path;

/// How to turn a file of arrays into `.npy`: what it is, and a line of Python that writes one `.npy` per array.
/// `None` where the extension names no format that is known to hold arrays.
pub fn advice(path: &Path) -> Option<String> {
    let extension = extension(path)?;
    let from = python(path);
    let to = python(&path.with_extension("npy"));
    let stem = python(&path.with_extension(""));
    let (what, code) = match extension.as_str() {
        "onnx" => {
            return Some("this is a model: chanscope run writes its activations".into());
        }
        "npz" => (
            "an .npz archive",
            format!(
                "import numpy; [numpy.save(k, numpy.ascontiguousarray(v)) for k, v in numpy.load({from}).items()]"
            ),
        ),
        "pt" | "pth" | "ckpt" | "bin" => (
            "a PyTorch file",
            format!(
                "import numpy, torch; t = torch.load({from}, map_location=\"cpu\"); [numpy.save(k, \
                 v.detach().float().contiguous().numpy()) for k, v in (t.items() if isinstance(t, dict) else [({stem}, t)])]"
            ),
        ),
        "h5" | "hdf5" | "hdf" => (
            "an HDF5 file",
            format!(
                "import h5py, numpy; h5py.File({from}).visititems(lambda k, v: numpy.save(k.replace(\"/\", \".\"), \
                 v[()]) if isinstance(v, h5py.Dataset) else None)"
            ),
        ),
        "zarr" => (
            "a Zarr store",
            format!(
                "import numpy, zarr; z = zarr.open({from}, mode=\"r\"); [numpy.save(k, v[:]) for k, v in \
                 (z.arrays() if hasattr(z, \"arrays\") else [({stem}, z)])]"
            ),
        ),
        "csv" | "tsv" | "txt" => {
            let delimiter = match extension.as_str() {
                "csv" => ", delimiter=\",\"",
                "tsv" => ", delimiter=\"\\t\"",
                _ => "",
            };
            (
                "a text file",
                format!(
                    "import numpy; numpy.save({to}, numpy.loadtxt({from}{delimiter})) (with skiprows=1 in loadtxt if \
                     it begins with a line of names)"
                ),
            )
        }
        "mat" => (
            "a MATLAB file",
            format!(
                "import numpy, scipy.io; [numpy.save(k, numpy.ascontiguousarray(v)) for k, v in scipy.io.loadmat({from}).items() if k[0] != \
                 \"_\"]"
            ),
        ),
        "pkl" | "pickle" => (
            "a pickle",
            format!("import numpy; numpy.save({to}, numpy.load({from}, allow_pickle=True))"),
        ),
        "parquet" => (
            "a Parquet file",
            format!(
                "import numpy, pandas; numpy.save({to}, numpy.ascontiguousarray(pandas.read_parquet({from}), dtype=\"float32\"))"
            ),
        ),
        _ => return None,
    };
    Some(format!("{what} is not read; convert it in Python: {code}"))
}

/// How to turn a file of weights into `.safetensors`; `None` as in [`advice`].
pub fn weights_advice(path: &Path) -> Option<String> {
    let from = python(path);
    let to = python(&path.with_extension("safetensors"));
    let (what, tensors) = match extension(path)?.as_str() {
        "pt" | "pth" | "ckpt" | "bin" => (
            "a PyTorch file",
            format!(
                "import torch; from safetensors.torch import save_file; save_file({{k: v.clone().contiguous() for k, v \
                 in torch.load({from}, map_location=\"cpu\").items()}}, {to})"
            ),
        ),
        "npz" => (
            "an .npz archive",
            format!(
                "import numpy; from safetensors.numpy import save_file; save_file(dict(numpy.load({from})), {to})"
            ),
        ),
        "npy" => (
            "an .npy array",
            format!(
                "import numpy; from safetensors.numpy import save_file; save_file({{\"conv\": numpy.load({from})}}, \
                 {to})"
            ),
        ),
        "h5" | "hdf5" | "keras" => {
            return Some(
                "Keras weights are not read; export the model to ONNX, for instance with tf2onnx"
                    .into(),
            );
        }
        _ => return None,
    };
    Some(format!(
        "{what} is not read; convert it in Python: {tensors}"
    ))
}

fn extension(path: &Path) -> Option<String> {
    path.extension()
        .and_then(OsStr::to_str)
        .map(str::to_ascii_lowercase)
}

/// A path as a string of Python.
fn python(path: &Path) -> String {
    format!("{:?}", path.display().to_string())
}
