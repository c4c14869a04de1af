//! A redundancy run from bytes in memory to a report in memory.

use crate::{demo, host};
use chanscope::Result;
use chanscope::control::Control;
use chanscope::device::{Device, DeviceChoice};
use chanscope::io::fingerprint;
use chanscope::io::layer::Layer;
use chanscope::io::npy;
use chanscope::io::sink::{HeldArray, Output};
use chanscope::measure::{self, Context, RedundancyInput, RedundancyOptions};
use chanscope::ops::Kernel;
use chanscope::report::arrays::Arrays;
use chanscope::report::folder::ResultsFolder;
use chanscope::report::html::render;
use chanscope::report::results;
use std::cell::RefCell;
use std::sync::Arc;

/// Cap of the working sets on the host and on the device, each.
const MEMORY: u64 = 512 << 20;

/// Where activations come from.
pub enum Input {
    /// The network of the demo on its digits.
    Demo,
    /// A file.
    Npy {
        /// All of it.
        bytes: Arc<Vec<u8>>,
        /// Its content.
        layer: Box<dyn Layer>,
    },
}

impl Input {
    /// The bytes of a `.npy` file.
    pub fn npy(bytes: Arc<Vec<u8>>, name: &str) -> Result<Self> {
        let layer = npy::from_bytes(Arc::clone(&bytes), &format!("{name}.npy"), name)?;
        Ok(Self::Npy { bytes, layer })
    }

    /// What is in it, for the page.
    pub fn words(&self) -> String {
        match self {
            Self::Demo => demo::words(),
            Self::Npy { layer, .. } => {
                let s = layer.shape();
                let name = layer.dtype().name();
                format!(
                    "{} samples, {} channels of {} \u{d7} {}, {name}",
                    s.samples, s.channels, s.height, s.width
                )
            }
        }
    }

    /// As it is recorded in the results.
    fn record(&self) -> Result<Option<results::Input>> {
        let Self::Npy { bytes, layer } = self else {
            return Ok(Some(demo::record()));
        };
        let s = layer.shape();
        Ok(Some(results::Input {
            path: format!("{}.npy", layer.name()),
            shape: [s.samples, s.channels, s.height, s.width]
                .map(|d| d as u64)
                .to_vec(),
            dtype: layer.dtype().name().into(),
            fingerprint: fingerprint::of_npy(bytes)?,
        }))
    }
}

/// Options as the page offers them.
pub fn options(k: usize, cosine: bool, queries: usize) -> RedundancyOptions {
    let mut options = RedundancyOptions::default();
    options.graph.k = k;
    if cosine {
        options.graph.kernel = Kernel::Cosine;
    }
    options.with_queries((queries > 0).then_some(queries))
}

/// A run.
pub struct Job {
    pub input: Input,
    pub options: RedundancyOptions,
}

/// What a run leaves.
pub struct Outcome {
    pub results: String,
    pub report: String,
    arrays: Vec<HeldArray>,
}

impl Outcome {
    /// Names of the float64 arrays, a line each.
    pub fn array_names(&self) -> String {
        let held = self.arrays.iter().filter(|a| a.kind == "f8");
        held.map(|a| a.name.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// Values of one of them.
    pub fn array(&self, name: &str) -> Option<Vec<f64>> {
        let array = self.arrays.array(name).ok().flatten()?;
        Some(array.into_raw_vec_and_offset().0)
    }
}

thread_local! {
    /// The device, between two runs.
    static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
}

impl Job {
    /// Runs it; a failure in words.
    pub fn run(self) -> Result<Outcome, String> {
        let device = match DEVICE.take() {
            Some(device) => device,
            // The only adapter that a browser offers, a software one included.
            None => {
                Device::open(&DeviceChoice::GpuNamed("0".into()), 0).map_err(|e| e.to_string())?
            }
        };
        let outcome = self.on(&device).map_err(|e| e.to_string());
        // After a failure it may be lost.
        if outcome.is_ok() {
            DEVICE.set(Some(device));
        }
        outcome
    }

    fn on(&self, device: &Device) -> Result<Outcome> {
        let show = host::show;
        let control = Control::default().with_progress(&show);
        let ctx = Context::new(device)
            .with_memory(MEMORY)
            .with_control(control);
        let folder = ResultsFolder::begin(Output::in_memory(), "redundancy");
        folder.redundancy_parameters(&ctx, &self.options, false);
        if let Some(input) = self.input.record()? {
            folder.input(input);
        }
        let made;
        let layers: Vec<&dyn Layer> = match &self.input {
            Input::Demo => {
                made = demo::activations(device)?;
                made.iter().map(|layer| layer as &dyn Layer).collect()
            }
            Input::Npy { layer, .. } => vec![layer.as_ref()],
        };
        let found = measure::redundancy(&ctx, &RedundancyInput::new(&layers), &self.options)?;
        folder.redundancy(&found)?;
        let (results, arrays) = folder.finish_in_memory()?;
        let report = render(&results, &arrays)?;
        let mut json = Vec::new();
        results.write_json("results.json".as_ref(), &mut json)?;
        Ok(Outcome {
            results: String::from_utf8_lossy(&json).into_owned(),
            report: report.html,
            arrays,
        })
    }
}
