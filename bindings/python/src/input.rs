//! What a call reads: layers of files and of Python's objects, under names of their own.

use crate::dlpack;
use crate::error::{raised, usage};
use crate::layers::{Named, element, layer_shape};
use crate::memory::Memory;
use crate::rows::{Failure, Rows};
use chanscope::io::layer::Layer;
use chanscope::io::names::{Namer, sanitize};
use chanscope::io::open::{Unreadable, open_dump_with};
use chanscope::tensor::LayerShape;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was collected so far.
#[derive(Default)]
pub struct Collected {
    pub layers: Vec<Arc<dyn Layer>>,
    /// Files and folders, for the checks of the output.
    pub paths: Vec<PathBuf>,
    /// Labels that lay beside the layers.
    pub labels: Option<PathBuf>,
    /// What was left out of the files, and why.
    pub left_out: Vec<(String, String)>,
    namer: Namer,
}

/// Name, shape `(N, C, H, W)` and element type of a layer.
type Described = (String, (usize, usize, usize, usize), &'static str);

/// Layers to be measured.
#[pyclass(frozen)]
#[derive(Default)]
pub struct Input {
    collected: Mutex<Collected>,
    pub failure: Failure,
}

impl Input {
    pub fn collected(&self) -> MutexGuard<'_, Collected> {
        self.collected
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The exception that a reader raised, if any, in place of `error`.
    pub fn blame(&self, error: PyErr) -> PyErr {
        let failure = self.failure.lock();
        let failure = failure.unwrap_or_else(PoisonError::into_inner).take();
        failure.unwrap_or(error)
    }

    fn name(&self, raw: &str) -> String {
        self.collected().namer.name(raw)
    }

    fn add(&self, layer: Arc<dyn Layer>) {
        self.collected().layers.push(layer);
    }

    /// Adds an array whose elements lie `strides` bytes from each other.
    #[allow(clippy::too_many_arguments)] // what describes an array in memory
    fn add_strided(
        &self,
        py: Python<'_>,
        name: &str,
        first: usize,
        dims: &[usize],
        strides: &[isize],
        dtype: &str,
        owner: Arc<dyn Send + Sync>,
    ) -> PyResult<()> {
        let shape = layer_shape(dims).map_err(|e| raised(py, &e))?;
        let Some(dtype) = element(dtype) else {
            return Err(usage(
                py,
                format!("{name}: elements of type {dtype} are not read"),
            ));
        };
        let strides = match *strides {
            [n, c, h, w] => [n, c, h, w],
            [n, c, l] => [n, c, 0, l],
            [n, d] => [n, 0, 0, d],
            _ => return Err(usage(py, format!("{name}: a stride per axis is needed"))),
        };
        self.add(Arc::new(Memory {
            name: self.name(name),
            shape,
            rank: dims.len(),
            dtype,
            first,
            strides,
            _owner: owner,
        }));
        Ok(())
    }
}

#[pymethods]
impl Input {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Adds an array in memory: the address of its first element, its shape and strides in bytes, its element type as
    /// in `results.json`, and the object that keeps it alive.
    #[allow(clippy::too_many_arguments)] // as Python calls it
    fn add_memory(
        &self,
        py: Python<'_>,
        name: &str,
        address: usize,
        shape: Vec<usize>,
        strides: Vec<isize>,
        dtype: &str,
        owner: Py<PyAny>,
    ) -> PyResult<()> {
        self.add_strided(py, name, address, &shape, &strides, dtype, Arc::new(owner))
    }

    /// Adds what `object` hands over by DLPack.
    fn add_dlpack(&self, name: &str, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let found = dlpack::take(object)?;
        let dtype = match found.dtype.as_str() {
            "float16" => "f16",
            "bfloat16" => "bf16",
            "float32" => "f32",
            "float64" => "f64",
            "uint8" => "u8",
            "int8" => "i8",
            other => {
                let text = format!(
                    "{name} holds {other}; activations are floating point: convert it to float32 first"
                );
                return Err(usage(object.py(), text));
            }
        };
        let owner = Arc::new(found.owner);
        self.add_strided(
            object.py(),
            name,
            found.address,
            &found.shape,
            &found.strides,
            dtype,
            owner,
        )
    }

    /// Adds an object that is read in blocks of rows by `reader`; see [`Rows`].
    fn add_rows(
        &self,
        py: Python<'_>,
        name: &str,
        shape: Vec<usize>,
        dtype: &str,
        reader: Py<PyAny>,
        cuts_channels: bool,
    ) -> PyResult<()> {
        let rank = shape.len();
        let shape = layer_shape(&shape).map_err(|e| raised(py, &e))?;
        let Some(dtype) = element(dtype) else {
            return Err(usage(
                py,
                format!("{name}: elements of type {dtype} are not read"),
            ));
        };
        self.add(Arc::new(Rows {
            name: self.name(name),
            shape,
            rank,
            dtype,
            reader,
            cuts_channels,
            failure: Arc::clone(&self.failure),
        }));
        Ok(())
    }

    /// Adds files and folders together. Under `name` the layers are called that, or `NAME.LAYER` where there are several.
    fn add_paths(
        &self,
        py: Python<'_>,
        name: Option<&str>,
        paths: Vec<PathBuf>,
        skip_unreadable: bool,
    ) -> PyResult<()> {
        let unreadable = match skip_unreadable {
            true => Unreadable::Skip,
            false => Unreadable::Refuse,
        };
        let dump = py
            .detach(|| open_dump_with(&paths, unreadable))
            .map_err(|e| raised(py, &e))?;
        let alone = dump.layers.len() == 1;
        let mut collected = self.collected();
        for layer in dump.layers {
            let wanted = match name {
                None => layer.name().to_string(),
                Some(name) if alone => name.to_string(),
                Some(name) => format!("{name}.{}", layer.name()),
            };
            let name = collected.namer.name(&wanted);
            collected.layers.push(match name == layer.name() {
                true => Arc::from(layer),
                false => Arc::new(Named { name, layer }),
            });
        }
        collected.paths.extend(paths);
        collected.left_out.extend(dump.left_out);
        if let Some(labels) = dump.labels {
            collected.labels.get_or_insert(labels);
        }
        Ok(())
    }

    /// The layer of that name alone.
    fn only(&self, name: &str) -> Self {
        let only = Self {
            failure: Arc::clone(&self.failure),
            ..Self::default()
        };
        let layers = self.collected().layers.clone();
        let layer = layers.into_iter().find(|l| l.name() == name);
        only.collected().layers.extend(layer);
        only
    }

    /// Name, shape `(N, C, H, W)` and element type of every layer.
    fn layers(&self) -> Vec<Described> {
        let collected = self.collected();
        let describe = |layer: &Arc<dyn Layer>| {
            let LayerShape {
                samples,
                channels,
                height,
                width,
            } = layer.shape();
            let shape = (samples, channels, height, width);
            (layer.name().to_string(), shape, layer.dtype().name())
        };
        collected.layers.iter().map(describe).collect()
    }

    /// Labels that lay beside the files.
    fn labels(&self) -> Option<PathBuf> {
        self.collected().labels.clone()
    }
}

/// The name that a layer called `raw` is given in results.
#[pyfunction]
pub fn layer_name(raw: &str) -> String {
    sanitize(raw)
}
