//! What a run leaves behind: `results.json` and `report.html`.

pub mod results;
