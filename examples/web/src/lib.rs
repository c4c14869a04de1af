//! Channel redundancy in a browser: what `worker.js` calls.
//!
//! * this file: the functions that JavaScript sees, one job at a time;
//! * `job`: what they do, by the same calls as the command `redundancy`;
//! * `demo`: the activations of the demo's network;
//! * `host`: what JavaScript offers in turn.
//!
//! All of it is for wasm32 only, so that other builds of the workspace find an empty crate.
#![cfg(target_family = "wasm")]

mod demo;
mod host;
mod job;

use job::{Input, Job, Outcome};
use std::cell::RefCell;
use std::sync::Arc;
use wasm_bindgen::prelude::wasm_bindgen;

/// What JavaScript has handed in, and what came of it.
#[derive(Default)]
struct State {
    job: Option<Job>,
    outcome: Option<Result<Outcome, String>>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn set(input: Input) {
    STATE.with_borrow_mut(|state| {
        let options = Default::default();
        state.job = Some(Job { input, options });
        state.outcome = None;
    });
}

/// To be called once, before everything else.
#[wasm_bindgen(start)]
fn start() {
    host::start();
}

/// Takes the bytes of a `.npy` file; `name` is that of the file without its ending. Returns its shape in words.
#[wasm_bindgen]
pub fn open_npy(bytes: Vec<u8>, name: &str) -> Result<String, String> {
    let input = Input::npy(Arc::new(bytes), name).map_err(|e| e.to_string())?;
    let words = input.words();
    set(input);
    Ok(words)
}

/// Takes the activations of the demo's network, which `compute` computes first.
#[wasm_bindgen]
pub fn open_demo() -> String {
    set(Input::Demo);
    Input::Demo.words()
}

/// Options of the run, checked when it begins. `queries` is 0 where all samples are queries.
#[wasm_bindgen]
pub fn set_options(k: usize, cosine: bool, queries: usize) {
    STATE.with_borrow_mut(|state| {
        if let Some(job) = &mut state.job {
            job.options = job::options(k, cosine, queries);
        }
    });
}

/// Runs the job. Returns 1 if there are results, 0 if there is a failure. To be wrapped in `WebAssembly.promising`, and
/// therefore no function of wasm-bindgen: its glue would stand between the call and the functions that suspend it.
#[unsafe(no_mangle)]
pub extern "C" fn compute() -> i32 {
    // Nothing stays borrowed while the call is suspended.
    let Some(job) = STATE.with_borrow_mut(|state| state.job.take()) else {
        return 0;
    };
    let outcome = job.run();
    let is_there = outcome.is_ok();
    STATE.with_borrow_mut(|state| state.outcome = Some(outcome));
    is_there.into()
}

fn outcome<T>(of: impl FnOnce(&Outcome) -> T) -> Option<T> {
    STATE.with_borrow(|state| match &state.outcome {
        Some(Ok(outcome)) => Some(of(outcome)),
        _ => None,
    })
}

/// Why the last run failed.
#[wasm_bindgen]
pub fn failure() -> Option<String> {
    STATE.with_borrow(|state| match &state.outcome {
        Some(Err(why)) => Some(why.clone()),
        _ => None,
    })
}

/// `results.json` of the last run.
#[wasm_bindgen]
pub fn results() -> Option<String> {
    outcome(|o| o.results.clone())
}

/// `report.html` of the last run.
#[wasm_bindgen]
pub fn report() -> Option<String> {
    outcome(|o| o.report.clone())
}

/// Names of the float64 arrays of the last run, a line each, as in an output folder.
#[wasm_bindgen]
pub fn array_names() -> Option<String> {
    outcome(Outcome::array_names)
}

/// Values of an array of the last run, in C order.
#[wasm_bindgen]
pub fn array(name: &str) -> Option<Vec<f64>> {
    outcome(|o| o.array(name)).flatten()
}
