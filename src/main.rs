//! The `chanscope` command: parses, calls the library, maps errors to exit codes.

mod cli;

#[global_allocator]
static ALLOCATOR: cli::allocator::Allocator = cli::allocator::Allocator;

fn main() -> std::process::ExitCode {
    // Mesa's device-select layer asks for a desktop and complains on stderr where there is none, as on
    // every server. It only orders adapters, which is done by their kind here.
    // SAFETY: no other thread exists yet that could read the environment.
    unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    cli::main(std::env::args_os()).into()
}
