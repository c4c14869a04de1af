//! Formats that are not read, and folders without activations: the advice fits what is there.

use super::{folder, npy_bytes, write};
use chanscope::io::foreign;
use chanscope::io::open::open_dump;
use std::path::Path;

fn message(path: &Path) -> String {
    open_dump(&[path]).expect_err("refused").to_string()
}

#[test]
fn every_known_format_has_a_line_of_python_with_the_files_name() {
    let dir = folder();
    for (name, call) in [
        ("a.npz", "numpy.load("),
        ("a.pt", "torch.load("),
        ("a.PTH", "torch.load("),
        ("a.ckpt", "torch.load("),
        ("a.h5", "h5py.File("),
        ("a.hdf5", "h5py.File("),
        ("a.csv", "delimiter=\",\""),
        ("a.tsv", "delimiter=\"\\t\""),
        ("a.txt", "numpy.loadtxt("),
        ("a.zarr", "zarr.open("),
        ("a.mat", "scipy.io.loadmat("),
        ("a.pkl", "allow_pickle=True"),
        ("a.parquet", "pandas.read_parquet("),
    ] {
        let path = write(dir.path(), name, b"x");
        let line = message(&path);
        let file = format!("{:?}", path.display().to_string());
        for words in [call, "numpy.save(", "Python: import ", &file] {
            assert!(line.contains(words), "'{words}' is not in: {line}");
        }
    }
    assert!(message(&write(dir.path(), "m.onnx", b"x")).contains("chanscope run"));
    assert!(message(&write(dir.path(), "a.xyz", b"x")).contains("extension"));
}

#[test]
fn weights_become_safetensors() {
    for (name, call) in [
        ("w.pt", "torch.load(\"w.pt\""),
        ("w.npz", "numpy.load(\"w.npz\""),
        ("w.npy", "numpy.load(\"w.npy\""),
        ("w.h5", "ONNX"),
    ] {
        let line = foreign::weights_advice(Path::new(name)).expect("known");
        assert!(line.contains(call), "{line}");
        assert!(
            name == "w.h5" || line.contains("\"w.safetensors\""),
            "{line}"
        );
    }
    assert_eq!(foreign::weights_advice(Path::new("w.xyz")), None);
}

#[test]
fn a_folder_without_activations_says_what_it_holds() {
    let dir = folder();
    let at = |name: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(&path).expect("folder");
        path
    };
    let none = "no .npy or .safetensors file directly in this folder";
    // An empty folder, or one of files that hold no arrays.
    let empty = at("empty");
    write(&empty, "readme.txt", b"x");
    assert!(message(&empty).ends_with(&format!("{none}; name the folder of the dump")));
    let foreign = at("foreign");
    write(&foreign, "b.h5", b"x");
    write(&foreign, "c.h5", b"x");
    let line = message(&foreign);
    assert!(
        line.contains(none) && line.contains("but 'b.h5': an HDF5 file"),
        "{line}"
    );
    // The subfolder with arrays is named before one without.
    let outer = at("outer");
    at("outer/a");
    let line = message(&outer);
    assert!(
        line.contains("only subfolders, such as") && line.contains("outer/a"),
        "{line}"
    );
    write(
        &at("outer/b"),
        "x.npy",
        &npy_bytes("<f4", "(2, 1)", &[0; 8]),
    );
    let line = message(&outer);
    assert!(
        line.contains("in its subfolders, such as") && line.contains("outer/b"),
        "{line}"
    );
    // A Zarr store is a folder.
    assert!(message(&at("acts.zarr")).contains("zarr.open("));
}
