//! What JavaScript offers: `wait.js` suspends calls, `host.js` is told what goes on.

use chanscope::control::Progress;
use chanscope::gpu::{Suspension, suspend_by};
use wasm_bindgen::prelude::wasm_bindgen;

// Imported as they are: `sleep` is a `WebAssembly.Suspending`, which glue must not wrap.
#[link(wasm_import_module = "./wait.js")]
unsafe extern "C" {
    safe fn sleep();
    safe fn wake();
}

#[wasm_bindgen(raw_module = "./host.js")]
extern "C" {
    fn progress(stage: &str, share: f64);
    fn panicked(message: &str);
}

/// Connects both sides.
pub fn start() {
    std::panic::set_hook(Box::new(|info| panicked(&info.to_string())));
    suspend_by(Suspension {
        sleep: || sleep(),
        wake: || wake(),
    });
}

/// Shows progress on the page.
pub fn show(p: Progress<'_>) {
    progress(p.stage, p.share);
}
