//! The folder that a run leaves behind: `results.json`, `report.html` and arrays, made from what measures
//! return. The command line and programs that embed the library write the same files by it.
//!
//! ```
//! use chanscope::device::{Device, DeviceChoice};
//! use chanscope::io::array::ArrayLayer;
//! use chanscope::io::sink::Output;
//! use chanscope::io::layer::Layer;
//! use chanscope::measure::{Context, RedundancyInput, RedundancyOptions, redundancy};
//! use chanscope::report::folder::ResultsFolder;
//! use chanscope::tensor::LayerShape;
//!
//! let values: Vec<f32> = (0..40 * 2 * 3 * 3).map(|i| (i as f32 * 0.37).sin()).collect();
//! let layer = ArrayLayer::new("conv1", LayerShape::new(40, 2, 3, 3)?, values)?;
//! let layers: [&dyn Layer; 1] = [&layer];
//! # let parent = tempfile::tempdir().unwrap();
//! # let path = parent.path().join("results");
//! let folder = ResultsFolder::begin(Output::create(&path, false)?, "redundancy");
//! let device = Device::open(&DeviceChoice::Cpu, 0)?;
//! let ctx = Context::new(&device).with_scratch(folder.scratch());
//! let options = RedundancyOptions::default();
//! folder.redundancy_parameters(&ctx, &options, false);
//! let found = redundancy(&ctx, &RedundancyInput::new(&layers), &options)?;
//! folder.redundancy(&found)?;
//! let results = folder.finish()?;
//! assert_eq!(results.redundancy.unwrap().layers[0].name, "conv1");
//! assert!(path.join("layers/conv1/jaccard.npy").is_file());
//! # Ok::<(), chanscope::Error>(())
//! ```

mod ablate;
mod across;
mod compare;
mod filters;
mod graphs;
mod images;
mod impulse;
mod parameters;
mod rank;
mod redundancy;
mod shuffle;
mod supports;

pub use filters::MATRICES_UP_TO;
pub use graphs::{GraphFiles, narrowed};
pub(crate) use graphs::{GraphWriters, out_of_range};
pub use images::check_images;
pub(crate) use parameters::redundancy_parameters;
pub use rank::RANK_FILE;
pub use supports::SupportFiles;

use super::arrays::Folder;
use super::html;
use super::results::{DeviceRecord, Input, Network, Results, Skipped, Stage};
use crate::Result;
use crate::device::Device;
use crate::io::fingerprint::{Stamp, stamped};
use crate::io::layer::Layer;
use crate::io::sink::{HeldArray, Output};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use web_time::{Instant, SystemTime};

/// An output folder in the making, with the clock running. Nothing is seen of it before
/// [`ResultsFolder::finish`]; dropped without that, it leaves nothing behind.
pub struct ResultsFolder {
    output: Output,
    record: Mutex<Record>,
    /// What [`GraphFiles`] could not store as it is.
    notes: Arc<Mutex<Vec<Skipped>>>,
}

/// What goes into `results.json`.
struct Record {
    results: Results,
    started: Instant,
    /// When the last stage ended.
    stage: Instant,
    /// Seconds of work that was done before this run began.
    before: f64,
    /// Files of which a fingerprint was taken.
    read: Vec<Stamp>,
    /// What `queries.npy` holds.
    queries: Option<Vec<usize>>,
    /// Layers with their strongest samples.
    strongest: Vec<images::StrongestOf>,
}

impl ResultsFolder {
    /// Begins the results of `command`, the name of a subcommand such as `redundancy`: it says which sections
    /// readers expect.
    pub fn begin(output: Output, command: &str) -> Self {
        let mut results = Results::new(command);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        results.timing.started_unix = since.ok().map(|d| d.as_secs());
        let now = Instant::now();
        Self {
            output,
            record: Mutex::new(Record {
                results,
                started: now,
                stage: now,
                before: 0.0,
                read: Vec::new(),
                queries: None,
                strongest: Vec::new(),
            }),
            notes: Arc::default(),
        }
    }

    /// Where the files will be.
    pub fn path(&self) -> &Path {
        self.output.folder()
    }

    /// A place for temporary files on the same file system, for
    /// [`crate::measure::Context::with_scratch`].
    pub fn scratch(&self) -> &Path {
        self.output.scratch()
    }

    /// Files graphs as arrays while they are computed, for
    /// [`crate::measure::RedundancyInput::with_graphs`].
    pub fn graphs(&self) -> GraphFiles<'_> {
        GraphFiles::new(&self.output, self.notes.clone())
    }

    /// Files the supports of every layer, by which finished runs are compared, for
    /// [`crate::measure::RedundancyInput::with_supports`].
    pub fn supports(&self) -> SupportFiles<'_> {
        SupportFiles::new(&self.output)
    }

    /// Records what computes.
    pub fn device(&self, device: &Device) {
        self.record().results.device = DeviceRecord::from(device.info());
    }

    /// Records what computed, where that was not a device of this process.
    pub(crate) fn record_device(&self, device: DeviceRecord) {
        self.record().results.device = device;
    }

    /// The folder in the making.
    pub(crate) fn output(&self) -> &Output {
        &self.output
    }

    /// Records an option as it was used, by its long name without dashes.
    pub fn parameter(&self, name: &str, value: impl Into<serde_json::Value>) {
        let mut record = self.record();
        record.results.parameters.insert(name.into(), value.into());
    }

    /// Records something that was read.
    pub fn input(&self, input: Input) {
        self.record().results.input.push(input);
    }

    /// Records a file that was read, with its fingerprint. `shape` is `[]` where the file holds several
    /// arrays.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the file cannot be read.
    pub fn input_file(&self, path: &Path, shape: &[u64], dtype: &str) -> Result<()> {
        let (fingerprint, stamp) = stamped(path)?;
        self.input(Input {
            path: path.display().to_string(),
            shape: shape.to_vec(),
            dtype: dtype.to_string(),
            fingerprint,
        });
        self.record().read.push(stamp);
        Ok(())
    }

    /// Records the file that a layer lies in, if it lies in one.
    ///
    /// # Errors
    /// As [`ResultsFolder::input_file`].
    pub fn input_layer(&self, layer: &dyn Layer) -> Result<()> {
        let s = layer.shape();
        let shape = [s.samples, s.channels, s.height, s.width].map(|d| d as u64);
        match layer.path() {
            Some(path) => self.input_file(path, &shape, layer.dtype().name()),
            None => Ok(()),
        }
    }

    /// Records one of several networks in the same results.
    pub fn network(&self, network: Network) {
        self.record().results.networks.push(network);
    }

    /// Records something that was left out, and why.
    pub fn skip(&self, skipped: Skipped) {
        self.record().results.skipped.push(skipped);
    }

    /// Ends a stage of the run: what ran since the last one ended, or since the beginning.
    pub fn stage(&self, name: impl Into<String>) {
        let mut record = self.record();
        let now = Instant::now();
        let seconds = (now - record.stage).as_secs_f64();
        record.results.timing.stages.push(Stage {
            name: name.into(),
            seconds,
        });
        record.stage = now;
    }

    /// Records a stage that was computed before, by this process or others.
    pub(crate) fn stage_before(&self, name: impl Into<String>, seconds: f64) {
        let mut record = self.record();
        let name = name.into();
        record.results.timing.stages.push(Stage { name, seconds });
        record.before += seconds;
    }

    /// Writes the report, `results.json` last, and moves everything to its place.
    ///
    /// # Errors
    /// [`crate::Error::Io`] where the files cannot be written, [`crate::Error::File`] where an input was changed since its
    /// fingerprint was taken; the folder is then as it was before.
    pub fn finish(self) -> Result<Results> {
        let Self {
            output,
            record,
            notes,
        } = self;
        let results = stopped(record, &notes)?;
        let report = html::render(&results, &Folder::new(output.scratch()))?;
        output.write(html::REPORT_FILE, report.html.as_bytes())?;
        output.finish(&results)?;
        Ok(results)
    }

    /// As [`ResultsFolder::finish`], for a command whose files are its results: without a report.
    ///
    /// # Errors
    /// As [`ResultsFolder::finish`].
    pub fn finish_without_report(self) -> Result<Results> {
        let Self {
            output,
            record,
            notes,
        } = self;
        let results = stopped(record, &notes)?;
        output.finish(&results)?;
        Ok(results)
    }

    /// The results and the arrays of a folder begun on [`Output::in_memory`], without a report.
    ///
    /// # Errors
    /// [`crate::Error::File`] where an input was changed since its fingerprint was taken; [`crate::Error::Output`] where
    /// an array was begun but not finished.
    pub fn finish_in_memory(self) -> Result<(Results, Vec<HeldArray>)> {
        let Self {
            output,
            record,
            notes,
        } = self;
        let results = stopped(record, &notes)?;
        Ok((results, output.into_arrays()?))
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The results, with the time they took. Refuses inputs that were changed meanwhile.
fn stopped(record: Mutex<Record>, notes: &Mutex<Vec<Skipped>>) -> Result<Results> {
    let record = record.into_inner().unwrap_or_else(PoisonError::into_inner);
    record.read.iter().try_for_each(Stamp::check)?;
    let mut results = record.results;
    let notes = &mut *notes.lock().unwrap_or_else(PoisonError::into_inner);
    results.skipped.append(notes);
    results.timing.total_seconds = record.before + record.started.elapsed().as_secs_f64();
    Ok(results)
}
