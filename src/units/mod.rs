//! A redundancy run as a folder of units: it survives being killed, and any number of processes and machines share it.
//!
//! [`plan`] cuts the run into units and writes them to `run.json`. [`work`] computes units, each into a folder of its own
//! below `units/`, which appears whole by one rename ([`crate::io::parts`]). [`status`] says which are done, and
//! [`merge`] puts the results together. Files are the only protocol; whoever sees the folder may compute any unit at any
//! time, also one that somebody else computes too.
//!
//! There are two stages, because channels are independent of each other for graphs but not for overlaps:
//!
//! - *graphs*: the graphs of some channels and queries, or of the aggregate for some queries. A unit keeps integer sums,
//!   the supports of its queries, and with [`Request::save_graph`] the graphs themselves. The survey (correlation of
//!   channels, CKA, dead channels) has units in this stage too, the first ones: each is of a part of a layer's samples, and keeps
//!   their sums and the Gram matrices of their mini-batches.
//! - *overlap*: the overlaps of some queries in all channels. It needs the supports of all units of graphs.
//!
//! Where a layer is copied by channels for its graphs, the copy lies beside the units, in parts that are kept over a kill
//! too ([`crate::io::spill::CopyPlace`]), until all graphs of the layer are done.
//!
//! All sums are integers, except those of the survey, whose parts depend on the shape of the layer alone and are added up in their
//! order, as in a run in one go. So the results have the same bits however the run is cut, and in whatever order and by how many processes units are computed. Nothing but the units' order in
//! time depends on the memory cap, the number of threads, or the number of units.
//!
//! `plan` is the pure part: what the units are; `read` reads a plan and refuses one that is none, `make` makes one
//! of a request. `input` opens what the run reads and
//! refuses it where it was changed since the plan was made. `request` names what differs between a run and a request. `graphs`, `overlap` and `survey` compute
//! and read back a kind of unit each; `supports` is how supports lie in files. `work`, `status` and `merge` are what the
//! commands of the same names call.

mod graphs;
mod input;
mod make;
mod merge;
mod overlap;
mod plan;
mod read;
mod request;
mod status;
mod supports;
mod survey;
mod work;

pub use input::Request;
pub use make::{plan, plan_in};
pub use merge::{merge, merge_into, merge_within};
#[cfg(feature = "internals")]
pub use plan::signed_plan;
pub use plan::{Plan, PlannedLayer, SCHEMA, Stage, Unit, Work};
pub use request::{Earlier, earlier};
pub use status::{Damage, Status, number_list, status, status_within};
pub use work::{Selection, Share, Worked, work};
