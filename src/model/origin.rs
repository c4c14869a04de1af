//! Questions to a graph about the file it was read from.

use super::graph::Graph;
use super::node::ValueId;
use super::parts::{Layout, LeftOut, Output};
use crate::{Error, Result};

impl Graph {
    /// Layout of the input, `None` where the network does not tell.
    pub const fn layout(&self) -> Option<Layout> {
        self.parts.layout
    }

    /// Channels, height and width of an input image.
    ///
    /// # Errors
    /// [`Error::WrongShape`] where the input is no image, [`Error::NoLayout`] where its layout is not known.
    pub fn image_shape(&self) -> Result<[usize; 3]> {
        let &[a, b, c] = self.input_shape() else {
            return Err(Error::wrong_shape(
                "a sample of the network's input",
                crate::error::dims!["C", "H", "W"],
                self.input_shape(),
            ));
        };
        match self.parts.layout {
            Some(layout) => Ok(layout.axes().map(|axis| [a, b, c][axis])),
            None => Err(Error::NoLayout {
                shape: vec![a, b, c],
            }),
        }
    }

    /// The outputs of the file by name, those that are not computed included.
    pub fn named_outputs(&self) -> &[Output] {
        &self.parts.outputs
    }

    /// The output called `name`, or the only one.
    ///
    /// # Errors
    /// [`Error::Argument`] where there is none of this name, or several and no name; [`Error::Network`] where
    /// it is not computed.
    pub fn output(&self, name: Option<&str>) -> Result<ValueId> {
        let outputs = &self.parts.outputs;
        let found = match name {
            Some(name) => outputs.iter().find(|o| o.name == name),
            None if outputs.len() == 1 => outputs.first(),
            None => None,
        };
        let Some(output) = found else {
            let describe = |o: &Output| match &o.value {
                Ok(id) => format!("'{}' {:?}", o.name, self.value(*id).shape),
                Err(_) => format!("'{}'", o.name),
            };
            let all: Vec<String> = outputs.iter().map(describe).collect();
            return Err(Error::argument(
                "output",
                name.map_or_else(|| "not given".into(), |n| format!("'{n}'")),
                format!("one of the network's outputs: {}", all.join(", ")),
            ));
        };
        output.value.clone().map_err(|reason| {
            Error::network(format!(
                "output '{}' is not computed: {reason}",
                output.name
            ))
        })
    }

    /// Nodes of the file that are not in the graph because they cannot be computed. What needs them is not in
    /// it either.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.parts.nodes
    }

    /// Convolutions of the file that are not in the graph.
    pub fn lost_layers(&self) -> &[LeftOut] {
        &self.parts.layers
    }

    /// Whether a node that is left out reads a value.
    pub(super) fn is_cut(&self, id: ValueId) -> bool {
        self.parts.cuts.iter().any(|cut| cut.0 == id)
    }

    /// The node left out that reads a value and may be an activation, if there is one.
    pub(super) fn lost_activation(&self, id: ValueId) -> Option<&LeftOut> {
        let mut cuts = self.parts.cuts.iter();
        let cut = cuts.find(|cut| cut.0 == id && cut.2)?;
        self.parts.nodes.get(cut.1)
    }
}
