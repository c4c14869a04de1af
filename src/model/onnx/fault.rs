//! What is wrong with a model that is being read, before the file is named.

use crate::Error;
use crate::error::Node;
use std::path::Path;

/// A node, where one is at fault, and what is wrong.
pub(super) struct Fault {
    pub(super) node: Option<Node>,
    pub(super) what: String,
}

impl Fault {
    /// The error for the model's file. Parts of the message come from the file: it stays one line.
    pub(super) fn in_file(self, path: &Path) -> Error {
        let plain = |text: String| text.replace(char::is_control, " ");
        Error::Network {
            path: Some(path.to_path_buf()),
            node: self.node.map(|node| Node {
                name: plain(node.name),
                operator: plain(node.operator),
            }),
            what: plain(self.what),
        }
    }
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
