//! What is wrong with a model that is being read, before the file is named.

use crate::Error;
use crate::error::Node;
use std::path::Path;

/// What makes a file unusable: a node, where one is at fault, and what is wrong.
pub(super) struct Fault {
    pub(super) node: Option<Node>,
    pub(super) what: String,
}

impl Fault {
    /// The error for the model's file.
    pub(super) fn in_file(self, path: &Path) -> Error {
        Error::Network {
            path: Some(path.to_path_buf()),
            node: self.node.map(|node| Node {
                name: plain(&node.name),
                operator: plain(&node.operator),
            }),
            what: plain(&self.what),
        }
    }
}

/// A text of which parts come from the file, on one line.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self { node: None, what }
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Self {
        what.to_string().into()
    }
}
