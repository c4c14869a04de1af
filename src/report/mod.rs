//! What a run leaves behind: `results.json` and `report.html`.
//!
//! [`folder`] writes both, with arrays beside them, from what measures return. [`results`] is the schema,
//! [`html`] turns it and the [`arrays`] beside it into one offline page, and [`words`] says in sentences what
//! the figures mean. [`figure`] packs arrays into the page, and [`order`] puts similar channels next to each
//! other. [`finished`] reads back what a run left. [`notes`] holds notes on the input that results repeat.

pub mod arrays;
pub mod figure;
pub mod finished;
pub mod folder;
pub mod html;
pub mod notes;
pub mod order;
pub mod results;
#[cfg(test)]
mod schema;
pub mod words;
