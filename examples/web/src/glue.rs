//! Writes a WebAssembly file, and the JavaScript module that loads it, from what the compiler made of the library.
//!
//! ```text
//! chanscope-web-glue FILE.wasm FOLDER
//! ```

#[cfg(target_family = "wasm")]
fn main() {}

#[cfg(not(target_family = "wasm"))]
fn main() -> std::process::ExitCode {
    use std::process::ExitCode;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, folder] = arguments.as_slice() else {
        eprintln!("usage: chanscope-web-glue FILE.wasm FOLDER");
        return ExitCode::FAILURE;
    };
    let made = wasm_bindgen_cli_support::Bindgen::new()
        .input_path(file)
        .web(true)
        .and_then(|bindgen| {
            bindgen
                .omit_default_module_path(false)
                .typescript(false)
                .generate(folder)
        });
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("chanscope-web-glue: {file}: {e}");
            ExitCode::FAILURE
        }
    }
}
