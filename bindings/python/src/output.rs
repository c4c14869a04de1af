//! Results on their way to Python: the text of `results.json`, and arrays.

use crate::call::Target;
use crate::error::raised;
use chanscope::io::sink::{HeldArray, Output};
use chanscope::report::folder::ResultsFolder;
use chanscope::report::html::write_report_within;
use chanscope::report::results::Results;
use chanscope::{Error, Result};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::path::{Path, PathBuf};

/// What a call found: in memory, or in the folder that it wrote.
#[pyclass(frozen)]
pub struct Found {
    /// The text of `results.json`.
    #[pyo3(get)]
    json: String,
    arrays: Vec<Py<Block>>,
    /// The folder, where the results lie in one.
    #[pyo3(get)]
    folder: Option<PathBuf>,
}

#[pymethods]
impl Found {
    /// Name and array, which NumPy takes by `numpy.asarray`.
    fn arrays(&self, py: Python<'_>) -> Vec<(String, Py<Block>)> {
        let arrays = self.arrays.iter();
        arrays
            .map(|block| (block.get().array.name.clone(), block.clone_ref(py)))
            .collect()
    }
}

/// An array that NumPy reads where it lies.
#[pyclass(frozen)]
pub struct Block {
    array: HeldArray,
}

impl Block {
    /// An array of numbers in C order; `kind` is NumPy's kind and width.
    pub fn new(kind: &'static str, shape: Vec<usize>, bytes: Vec<u8>) -> Self {
        let name = String::new();
        Self {
            array: HeldArray {
                name,
                kind,
                shape,
                bytes,
            },
        }
    }
}

#[pymethods]
impl Block {
    #[getter]
    fn __array_interface__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let HeldArray {
            kind, shape, bytes, ..
        } = &self.array;
        let order = match cfg!(target_endian = "little") {
            true => '<',
            false => '>',
        };
        let order = if kind.ends_with('1') { '|' } else { order };
        let description = PyDict::new(py);
        description.set_item("version", 3)?;
        description.set_item("typestr", format!("{order}{kind}"))?;
        description.set_item("shape", pyo3::types::PyTuple::new(py, shape)?)?;
        // Not read-only: nobody but the array that is made of it has the memory.
        description.set_item("data", (bytes.as_ptr() as usize, false))?;
        Ok(description)
    }
}

/// Results that are finished, without the interpreter's lock.
pub struct Finished {
    results: Results,
    arrays: Vec<HeldArray>,
    folder: Option<PathBuf>,
}

impl Finished {
    /// Ends a run: writes the folder with its report, or takes the arrays out of memory.
    pub fn of(folder: ResultsFolder, target: &Target, report: bool) -> Result<Self> {
        if !target.is_folder() {
            let (results, arrays) = folder.finish_in_memory()?;
            let folder = None;
            return Ok(Self {
                results,
                arrays,
                folder,
            });
        }
        let path = folder.path().to_path_buf();
        let results = match report {
            true => folder.finish()?,
            false => folder.finish_without_report()?,
        };
        Ok(Self {
            results,
            arrays: Vec::new(),
            folder: Some(path),
        })
    }

    /// The same for Python.
    pub fn into_found(self, py: Python<'_>) -> PyResult<Found> {
        let json = self.results.to_json(Path::new("results.json"));
        let block = |array| Py::new(py, Block { array });
        Ok(Found {
            json: json.map_err(|e| raised(py, &e))?,
            arrays: self
                .arrays
                .into_iter()
                .map(block)
                .collect::<PyResult<_>>()?,
            folder: self.folder,
        })
    }
}

/// NumPy's kinds that `.npy` files of results have.
const KINDS: [&str; 9] = ["f2", "f4", "f8", "i4", "i8", "u1", "u2", "u4", "b1"];

/// Writes results as a folder: `json` is the text of `results.json`, `arrays` are names, kinds, shapes and bytes in C
/// order.
#[pyfunction]
#[pyo3(signature = (folder, force, json, arrays, report))]
pub fn write_folder(
    py: Python<'_>,
    folder: PathBuf,
    force: bool,
    json: &str,
    arrays: Vec<(String, String, Vec<usize>, Bound<'_, PyBytes>)>,
    report: bool,
) -> PyResult<()> {
    let write = || -> Result<()> {
        let results = Results::from_json(Path::new("results.json"), json.as_bytes())?;
        let output = Output::create(&folder, force)?;
        for (name, kind, shape, bytes) in &arrays {
            write_array(&output, name, kind, shape, bytes.as_bytes())?;
        }
        if report {
            let arrays = chanscope::report::arrays::Folder::new(output.scratch());
            let page = chanscope::report::html::render(&results, &arrays)?;
            let name = chanscope::report::html::REPORT_FILE;
            output.write(name, page.html.as_bytes())?;
        }
        output.finish(&results)
    };
    write().map_err(|e| raised(py, &e))
}

/// Writes an array, whatever its numbers are: as bytes under the header of its kind.
fn write_array(
    output: &Output,
    name: &str,
    kind: &str,
    shape: &[usize],
    bytes: &[u8],
) -> Result<()> {
    match kind {
        "f2" => output.array(name, shape, &numbers(bytes, half::f16::from_ne_bytes)),
        "f4" => output.array(name, shape, &numbers(bytes, f32::from_ne_bytes)),
        "f8" => output.array(name, shape, &numbers(bytes, f64::from_ne_bytes)),
        "i4" => output.array(name, shape, &numbers(bytes, i32::from_ne_bytes)),
        "i8" => output.array(name, shape, &numbers(bytes, i64::from_ne_bytes)),
        "u1" => output.array(name, shape, bytes),
        "u2" => output.array(name, shape, &numbers(bytes, u16::from_ne_bytes)),
        "u4" => output.array(name, shape, &numbers(bytes, u32::from_ne_bytes)),
        "b1" => output.array(name, shape, &numbers(bytes, |[b]: [u8; 1]| b != 0)),
        other => Err(Error::argument(
            "dtype",
            format!("'{other}'"),
            format!("one of {}", KINDS.join(", ")),
        )),
    }
}

fn numbers<const N: usize, T>(bytes: &[u8], number: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (chunks, _) = bytes.as_chunks::<N>();
    chunks.iter().map(|&chunk| number(chunk)).collect()
}

/// Makes `report.html` of a folder of results again; returns what could not be shown.
#[pyfunction]
pub fn write_report(py: Python<'_>, folder: PathBuf) -> PyResult<Vec<String>> {
    let made = py.detach(|| write_report_within(&folder, u64::MAX));
    made.map_err(|e| raised(py, &e))
}
