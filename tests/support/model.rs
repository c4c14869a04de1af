//! Writes ONNX files, right or wrong, field by field.

/// A number of 7 bits a byte.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = vec![];
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [&varint(number << 3 | 2), &varint(bytes.len() as u64), bytes].concat()
}

fn int(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

/// A parameter of a node, encoded.
#[derive(Clone)]
pub struct Attribute(Vec<u8>);

impl Attribute {
    pub fn int(name: &str, value: i64) -> Self {
        Self([field(1, name.as_bytes()), int(3, value), int(20, 2)].concat())
    }

    pub fn float(name: &str, value: f32) -> Self {
        let number = [varint(2 << 3 | 5), value.to_le_bytes().to_vec()].concat();
        Self([field(1, name.as_bytes()), number, int(20, 1)].concat())
    }

    pub fn floats(name: &str, values: &[f32]) -> Self {
        let all = values
            .iter()
            .map(|v| [varint(7 << 3 | 5), v.to_le_bytes().to_vec()].concat());
        let all: Vec<u8> = all.flatten().collect();
        Self([field(1, name.as_bytes()), all, int(20, 6)].concat())
    }

    pub fn text(name: &str, value: &str) -> Self {
        Self(
            [
                field(1, name.as_bytes()),
                field(4, value.as_bytes()),
                int(20, 3),
            ]
            .concat(),
        )
    }

    /// A list of integers as a tensor.
    pub fn list(name: &str, values: &[i64]) -> Self {
        Self(
            [
                field(1, name.as_bytes()),
                field(5, &integers("", &[values.len() as i64], values)),
                int(20, 4),
            ]
            .concat(),
        )
    }

    pub fn ints(name: &str, values: &[i64]) -> Self {
        let all: Vec<u8> = values.iter().flat_map(|&v| int(8, v)).collect();
        Self([field(1, name.as_bytes()), all, int(20, 7)].concat())
    }
}

/// A node.
#[derive(Clone)]
pub struct Node {
    op: String,
    name: String,
    pub domain: String,
    inputs: Vec<String>,
    pub outputs: Vec<String>,
    pub attributes: Vec<Attribute>,
}

impl Node {
    pub fn new(op: &str, name: &str, inputs: &[&str], output: &str) -> Self {
        Self {
            op: op.into(),
            name: name.into(),
            inputs: inputs.iter().map(|s| (*s).to_string()).collect(),
            domain: String::new(),
            outputs: vec![output.into()],
            attributes: vec![],
        }
    }

    pub fn with(mut self, attribute: Attribute) -> Self {
        self.attributes.push(attribute);
        self
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![];
        for input in &self.inputs {
            bytes.extend(field(1, input.as_bytes()));
        }
        for output in &self.outputs {
            bytes.extend(field(2, output.as_bytes()));
        }
        bytes.extend(field(3, self.name.as_bytes()));
        bytes.extend(field(4, self.op.as_bytes()));
        for a in &self.attributes {
            bytes.extend(field(5, &a.0));
        }
        bytes.extend(field(7, self.domain.as_bytes()));
        bytes
    }
}

/// A float32 tensor, encoded; `data` need not fill `shape`.
pub fn tensor(name: &str, shape: &[i64], data: &[f32]) -> Vec<u8> {
    let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dims: Vec<u8> = shape.iter().flat_map(|&d| int(1, d)).collect();
    [dims, int(2, 1), field(8, name.as_bytes()), field(9, &raw)].concat()
}

/// A tensor whose elements have the type of this number, encoded.
pub fn of_type(name: &str, shape: &[i64], number: i64, raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|&d| int(1, d)).collect();
    [
        dims,
        int(2, number),
        field(8, name.as_bytes()),
        field(9, raw),
    ]
    .concat()
}

/// An int64 tensor, encoded.
pub fn integers(name: &str, shape: &[i64], data: &[i64]) -> Vec<u8> {
    let raw: Vec<u8> = data.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dims: Vec<u8> = shape.iter().flat_map(|&d| int(1, d)).collect();
    [dims, int(2, 7), field(8, name.as_bytes()), field(9, &raw)].concat()
}

/// A model with the input `input`.
#[derive(Clone)]
pub struct Model {
    pub opset: i64,
    /// Batch first; `None` is open.
    pub input_dims: Vec<Option<i64>>,
    pub constants: Vec<Vec<u8>>,
    pub nodes: Vec<Node>,
    outputs: Vec<String>,
}

impl Model {
    /// `shape` is that of one sample.
    pub fn new(shape: &[i64]) -> Self {
        Self {
            opset: 17,
            input_dims: std::iter::once(None)
                .chain(shape.iter().copied().map(Some))
                .collect(),
            constants: vec![],
            nodes: vec![],
            outputs: vec![],
        }
    }

    pub fn constant(&mut self, name: &str, shape: &[i64], data: &[f32]) {
        self.constants.push(tensor(name, shape, data));
    }

    /// A list of integers.
    pub fn list(&mut self, name: &str, data: &[i64]) {
        self.constants
            .push(integers(name, &[data.len() as i64], data));
    }

    /// A float32 tensor in another file.
    pub fn outside(&mut self, name: &str, shape: &[i64], file: &str, offset: usize, length: usize) {
        let entry = |key: &str, value: &str| {
            field(
                13,
                &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat(),
            )
        };
        let dims: Vec<u8> = shape.iter().flat_map(|&d| int(1, d)).collect();
        let bytes = [
            dims,
            int(2, 1),
            field(8, name.as_bytes()),
            entry("location", file),
            entry("offset", &offset.to_string()),
            entry("length", &length.to_string()),
            int(14, 1),
        ];
        self.constants.push(bytes.concat());
    }

    pub fn node(&mut self, node: Node) {
        self.nodes.push(node);
    }

    pub fn output(&mut self, name: &str) {
        self.outputs = vec![name.into()];
    }

    pub fn outputs(&mut self, names: &[&str]) {
        self.outputs = names.iter().map(|n| (*n).to_string()).collect();
    }

    fn value(name: &str, dims: &[Option<i64>]) -> Vec<u8> {
        let dims: Vec<u8> = (dims.iter())
            .flat_map(|d| match d {
                Some(v) => field(1, &int(1, *v)),
                None => field(1, &field(2, b"free")),
            })
            .collect();
        let tensor = [int(1, 1), field(2, &dims)].concat();
        [field(1, name.as_bytes()), field(2, &field(1, &tensor))].concat()
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut graph = vec![];
        for node in &self.nodes {
            graph.extend(field(1, &node.encode()));
        }
        for c in &self.constants {
            graph.extend(field(5, c));
        }
        graph.extend(field(11, &Self::value("input", &self.input_dims)));
        for output in &self.outputs {
            graph.extend(field(12, &Self::value(output, &[None])));
        }
        let opset = [field(1, b""), int(2, self.opset)].concat();
        [int(1, 8), field(8, &opset), field(7, &graph)].concat()
    }
}
