//! Small networks spelled by hostile bytes: each byte is a choice of the next operator, of its inputs or of an attribute.
//! Most of them can be run, so that these bytes reach shapes, folding and kernels, where mutated files end in the parser.

use super::targets::{Case, run_small};
use crate::support::model::{Attribute, Model, Node};
use chanscope::model::onnx;

/// Most nodes of a network.
const NODES: usize = 24;

/// The bytes as a list of choices; zeros follow the last one.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn below(&mut self, n: usize) -> usize {
        usize::from(self.byte()) % n.max(1)
    }

    fn pick<'a, T: ?Sized>(&mut self, items: &[&'a T]) -> &'a T {
        items[self.below(items.len())]
    }

    /// Mostly a size that makes sense, now and then one that does not.
    fn size(&mut self, most: usize) -> i64 {
        match self.byte() {
            255 => -1,
            254 => 0,
            253 => i64::MAX,
            252 => 1 << 31,
            b => (usize::from(b) % most + 1) as i64,
        }
    }

    fn sizes(&mut self, count: usize, most: usize) -> Vec<i64> {
        (0..count).map(|_| self.size(most)).collect()
    }

    /// Padding, offsets: small, and mostly not negative.
    fn offsets(&mut self, count: usize) -> Vec<i64> {
        let offset = |b: u8| match b {
            250.. => i64::from(b) - 253,
            b => i64::from(b % 3),
        };
        (0..count).map(|_| offset(self.byte())).collect()
    }

    /// A number that kernels get wrong, or an ordinary one.
    fn number(&mut self) -> f32 {
        match self.byte() {
            0 => 0.0,
            1 => -0.0,
            2 => f32::NAN,
            3 => f32::INFINITY,
            4 => f32::MIN_POSITIVE / 4.0,
            5 => f32::MAX,
            b => (f32::from(b) - 128.0) / 32.0,
        }
    }
}

/// Operators of one computed input and no attributes.
const UNARY: &[&str] = &[
    "Relu",
    "Sigmoid",
    "Tanh",
    "Abs",
    "Neg",
    "Exp",
    "Log",
    "Sqrt",
    "Reciprocal",
    "Floor",
    "Ceil",
    "Round",
    "Sign",
    "Erf",
    "Softplus",
    "Softsign",
    "HardSwish",
    "HardSigmoid",
    "Elu",
    "Selu",
    "Celu",
    "LeakyRelu",
    "Mish",
    "Gelu",
    "Identity",
    "Dropout",
    "Sin",
    "Cos",
    "Atan",
    "Not",
    "IsNaN",
    "Shrink",
    "ThresholdedRelu",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Flatten",
    "LRN",
    "MeanVarianceNormalization",
    "Shape",
    "Size",
    "Swish",
    "GlobalLpPool",
];
/// Operators of two.
const BINARY: &[&str] = &[
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Max",
    "Min",
    "Mean",
    "Sum",
    "Pow",
    "PRelu",
    "Equal",
    "Less",
    "Greater",
    "LessOrEqual",
    "GreaterOrEqual",
    "And",
    "Or",
    "Xor",
    "MatMul",
    "Concat",
];
/// Operators along axes.
const AXES: &[&str] = &[
    "ReduceMean",
    "ReduceSum",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "Squeeze",
    "Unsqueeze",
];
/// Operators along one.
const AXIS: &[&str] = &[
    "Softmax",
    "LogSoftmax",
    "Hardmax",
    "LpNormalization",
    "CumSum",
    "LayerNormalization",
    "RMSNormalization",
    "Split",
    "Gather",
    "Flatten",
];

/// A network under construction.
struct Builder<'a> {
    choices: Choices<'a>,
    model: Model,
    /// Values so far.
    values: Vec<String>,
    /// Channels that the last value probably has.
    channels: i64,
    constants: usize,
}

impl Builder<'_> {
    /// One of the values, mostly the last.
    fn value(&mut self) -> String {
        let back = match self.choices.byte() {
            b @ 200.. => usize::from(b - 200) % self.values.len(),
            _ => 0,
        };
        self.values[self.values.len() - 1 - back].clone()
    }

    /// A float constant of this shape.
    fn weights(&mut self, shape: &[i64]) -> String {
        let name = self.name();
        let count: i64 = shape.iter().map(|s| (*s).clamp(0, 64)).product();
        let first = self.choices.number();
        let step = self.choices.number() / 16.0;
        let data: Vec<f32> = (0..count.clamp(0, 4096))
            .map(|i| first + step * (i % 7) as f32)
            .collect();
        self.model.constant(&name, shape, &data);
        name
    }

    /// An integer constant.
    fn list(&mut self, data: &[i64]) -> String {
        let name = self.name();
        self.model.list(&name, data);
        name
    }

    fn name(&mut self) -> String {
        self.constants += 1;
        format!("c{}", self.constants)
    }

    fn push(&mut self, op: &str, inputs: &[&str], attributes: Vec<Attribute>) {
        let name = format!("v{}", self.values.len());
        let mut node = Node::new(op, &name, inputs, &name);
        node.attributes = attributes;
        self.model.node(node);
        self.values.push(name);
    }

    fn convolution(&mut self, x: &str) {
        let group = if self.choices.byte() < 224 {
            1
        } else {
            self.choices.size(4)
        };
        let (out, kernel) = (self.choices.size(6), self.choices.sizes(2, 3));
        let transposed = self.choices.byte() > 220;
        let inner = if group > 0 {
            self.channels / group
        } else {
            self.channels
        };
        let shape = if transposed {
            [self.channels, out, kernel[0], kernel[1]]
        } else {
            [out, inner, kernel[0], kernel[1]]
        };
        let w = self.weights(&shape);
        let attributes = vec![
            Attribute::int("group", group),
            Attribute::ints("kernel_shape", &kernel),
            Attribute::ints("pads", &self.choices.offsets(4)),
            Attribute::ints("strides", &self.choices.sizes(2, 2)),
            Attribute::ints("dilations", &self.choices.sizes(2, 2)),
        ];
        let op = if transposed { "ConvTranspose" } else { "Conv" };
        self.push(op, &[x, &w], attributes);
        self.channels = if transposed {
            out.saturating_mul(group)
        } else {
            out
        };
    }

    fn pool(&mut self, x: &str) {
        let op = self.choices.pick(&["MaxPool", "AveragePool", "LpPool"]);
        let attributes = vec![
            Attribute::ints("kernel_shape", &self.choices.sizes(2, 3)),
            Attribute::ints("strides", &self.choices.sizes(2, 2)),
            Attribute::ints("pads", &self.choices.offsets(4)),
            Attribute::int("ceil_mode", i64::from(self.choices.byte() & 1)),
        ];
        self.push(op, &[x], attributes);
    }

    fn normalisation(&mut self, x: &str) {
        let channels = [self.channels];
        let parts: Vec<String> = (0..4).map(|_| self.weights(&channels)).collect();
        match self.choices.below(3) {
            0 => {
                let inputs: Vec<&str> = std::iter::once(x)
                    .chain(parts.iter().map(String::as_str))
                    .collect();
                self.push("BatchNormalization", &inputs, vec![]);
            }
            1 => self.push("InstanceNormalization", &[x, &parts[0], &parts[1]], vec![]),
            _ => {
                let groups = Attribute::int("num_groups", self.choices.size(3));
                self.push(
                    "GroupNormalization",
                    &[x, &parts[0], &parts[1]],
                    vec![groups],
                );
            }
        }
    }

    fn shape(&mut self, x: &str) {
        match self.choices.below(8) {
            0 => {
                let rank = 1 + self.choices.below(4);
                let sizes = self.choices.sizes(rank, 8);
                let to = self.list(&sizes);
                self.push("Reshape", &[x, &to], vec![]);
            }
            1 => {
                let order: &[i64] = self.choices.pick(&[
                    &[0, 2, 3, 1][..],
                    &[0, 3, 1, 2],
                    &[0, 1, 3, 2],
                    &[0, 2, 1],
                    &[1, 0, 2, 3],
                    &[0, 1, 2, 3],
                ]);
                self.push("Transpose", &[x], vec![Attribute::ints("perm", order)]);
            }
            2 => {
                let mut pads = vec![0; 8];
                for at in [2, 3, 6, 7] {
                    pads[at] = self.choices.offsets(1)[0];
                }
                let mode = self.choices.pick(&["constant", "reflect", "edge", "wrap"]);
                let pads = self.list(&pads);
                self.push("Pad", &[x, &pads], vec![Attribute::text("mode", mode)]);
            }
            3 => {
                let lists: Vec<String> = (0..4)
                    .map(|_| {
                        let list = self.choices.offsets(1);
                        self.list(&list)
                    })
                    .collect();
                let inputs: Vec<&str> = std::iter::once(x)
                    .chain(lists.iter().map(String::as_str))
                    .collect();
                self.push("Slice", &inputs, vec![]);
            }
            4 => {
                let scales = [1.0, 1.0, self.choices.number(), self.choices.number()];
                let name = self.name();
                self.model.constant(&name, &[4], &scales);
                let mode = self.choices.pick(&["nearest", "linear", "cubic"]);
                self.push(
                    "Resize",
                    &[x, "", &name],
                    vec![Attribute::text("mode", mode)],
                );
            }
            5 => {
                let repeats = self.choices.sizes(4, 2);
                let repeats = self.list(&repeats);
                let op = self.choices.pick(&["Tile", "Expand"]);
                self.push(op, &[x, &repeats], vec![]);
            }
            6 => {
                let block = Attribute::int("blocksize", self.choices.size(2));
                let op = self.choices.pick(&["DepthToSpace", "SpaceToDepth"]);
                self.push(op, &[x], vec![block]);
            }
            _ => {
                let to = Attribute::int("to", self.choices.size(16));
                self.push("Cast", &[x], vec![to]);
            }
        }
    }

    fn node(&mut self) {
        let x = self.value();
        match self.choices.below(16) {
            0..4 => self.convolution(&x),
            4 => self.pool(&x),
            5 => self.normalisation(&x),
            6 | 7 => self.shape(&x),
            8 => {
                let op = self.choices.pick(AXES);
                let axes = self.choices.offsets(2);
                let axes = Attribute::ints("axes", &axes);
                self.push(op, &[&x], vec![axes]);
            }
            9 => {
                let op = self.choices.pick(AXIS);
                let axis = Attribute::int("axis", self.choices.size(4) - 2);
                let size = [self.channels];
                let second = match op {
                    "LayerNormalization" | "RMSNormalization" => Some(self.weights(&size)),
                    "Gather" | "CumSum" => {
                        let list = self.choices.offsets(1);
                        Some(self.list(&list))
                    }
                    _ => None,
                };
                let inputs: Vec<&str> = std::iter::once(x.as_str())
                    .chain(second.as_deref())
                    .collect();
                self.push(op, &inputs, vec![axis]);
            }
            10 | 11 => {
                let op = self.choices.pick(BINARY);
                let other = match self.choices.below(3) {
                    0 => self.value(),
                    1 => self.weights(&[]),
                    _ => {
                        let shape = [1, self.channels, 1, 1];
                        self.weights(&shape)
                    }
                };
                let axis = (op == "Concat").then(|| Attribute::int("axis", self.choices.size(3)));
                self.push(op, &[&x, &other], axis.into_iter().collect());
            }
            12 => {
                let (low, high) = (self.choices.number(), self.choices.number());
                let names = [self.name(), self.name()];
                self.model.constant(&names[0], &[], &[low]);
                self.model.constant(&names[1], &[], &[high]);
                self.push("Clip", &[&x, &names[0], &names[1]], vec![]);
            }
            _ => {
                let op = self.choices.pick(UNARY);
                self.push(op, &[&x], vec![]);
            }
        }
    }
}

/// The network that the bytes spell.
fn spelled(bytes: &[u8]) -> Model {
    let mut choices = Choices(bytes);
    let shape = [
        1 + choices.below(4) as i64,
        1 + choices.below(9) as i64,
        1 + choices.below(9) as i64,
    ];
    let mut model = Model::new(&shape);
    model.opset = 7 + choices.below(17) as i64;
    let mut builder = Builder {
        choices,
        model,
        values: vec!["input".into()],
        channels: shape[0],
        constants: 0,
    };
    while builder.values.len() <= NODES && !builder.choices.0.is_empty() {
        builder.node();
    }
    let last = builder.values.last().cloned().unwrap_or_default();
    builder.model.output(&last);
    builder.model
}

/// A network of the operators that are supported: refused, or run with the same bits for a sample wherever it lies in
/// the batch.
pub fn network(bytes: &[u8]) {
    let path = super::targets::file("network.onnx", &spelled(bytes).encode());
    let _ = onnx::filters(&path);
    if let Ok(graph) = onnx::load(&path, None) {
        run_small(&graph, Case::Twice);
    }
}
