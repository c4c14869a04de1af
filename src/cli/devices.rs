//! `chanscope devices`: what there is to compute on.

use super::{Common, output};
use chanscope::Result;
use chanscope::device::Device;

/// Lists the CPU and every GPU adapter, with limits and features
#[derive(clap::Args)]
#[command(after_help = "Example:  chanscope devices --json")]
pub struct Args {}

/// Prints the list.
pub fn run(_args: &Args, common: &Common) -> Result<()> {
    let device = Device::open(&chanscope::device::DeviceChoice::Cpu, 0)?;
    let info = device.info();
    if common.json {
        return output::json(&serde_json::json!({"devices": [
            {"name": info.name, "backend": info.backend, "driver": info.driver}
        ]}));
    }
    output::print(&format!("cpu  {}  {}\n", info.name, info.driver))
}
