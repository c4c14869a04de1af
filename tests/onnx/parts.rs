//! Networks of which only a part is supported, several outputs, the layout of the input, and other names.

use super::support::{load, load_model, numbers, refused, run};
use crate::support::model::{Attribute, Model, Node, of_type};
use chanscope::Error;
use chanscope::model::onnx::{ImportOptions, filters};
use chanscope::model::parts::Layout;

/// Two convolutions with something between them.
fn two(between: Node) -> Model {
    let mut m = Model::new(&[1, 6, 6]);
    m.constant("conv1.weight", &[2, 1, 3, 3], &numbers(18, 1.0));
    m.constant("conv2.weight", &[2, 2, 1, 1], &numbers(4, 1.0));
    m.node(Node::new("Conv", "c1", &["input", "conv1.weight"], "a"));
    m.node(Node::new("Relu", "r1", &["a"], "b"));
    m.node(between);
    m.node(Node::new("Conv", "c2", &["c", "conv2.weight"], "d"));
    m.outputs(&["b", "d"]);
    m
}

#[test]
fn an_operator_that_is_not_supported_stops_only_what_needs_it() {
    let graph = load(&two(Node::new("LSTM", "rnn", &["b"], "c")));
    let names: Vec<String> = graph.layers().into_iter().map(|l| l.name).collect();
    assert_eq!(names, ["conv1"]);
    assert_eq!(graph.outputs().len(), 1);
    assert_eq!(run(&graph, graph.outputs())[0].len(), 2 * 2 * 16);
    assert_eq!(graph.left_out().len(), 1);
    assert_eq!(graph.left_out()[0].name, "node 'rnn' (LSTM)");
    assert_eq!(graph.left_out()[0].reason, "is not supported");
    assert_eq!(graph.lost_layers()[0].name, "conv2");
    let reason = "it needs node 'rnn' (LSTM), which is not supported";
    assert_eq!(graph.lost_layers()[0].reason, reason);
    let outputs = graph.named_outputs();
    assert_eq!(
        (outputs[0].name.as_str(), outputs[0].value.is_ok()),
        ("b", true)
    );
    assert_eq!(outputs[1].value.as_ref().unwrap_err(), reason);
    let message = graph.output(Some("d")).unwrap_err().to_string();
    assert!(
        message.contains("output 'd' is not computed: it needs node 'rnn'"),
        "{message}"
    );
}

#[test]
fn a_node_that_fails_leaves_no_trace() {
    // A gather of several rows makes slices before it fails to join them.
    let mut m = two(Node::new("Gather", "g", &["b", "i"], "c").with(Attribute::int("axis", 1)));
    m.list("i", &[0, 1, 1, 9]);
    let graph = load(&m);
    assert_eq!(graph.nodes().len(), 2);
    assert_eq!(graph.value_count(), 4);
    // What it read has its other readers still, and only these.
    assert_eq!(graph.readers(graph.layers()[0].activation).count(), 0);
}

#[test]
fn several_outputs_are_told_apart_by_name() {
    let graph = load(&two(Node::new("Identity", "i", &["b"], "c")));
    let names: Vec<&str> = graph
        .named_outputs()
        .iter()
        .map(|o| o.name.as_str())
        .collect();
    assert_eq!(names, ["b", "d"]);
    assert_eq!(graph.output(Some("d")).unwrap(), graph.outputs()[1]);
    let message = graph.output(None).unwrap_err().to_string();
    assert_eq!(
        message,
        "output is not given, expected one of the network's outputs: 'b' [2, 4, 4], 'd' [2, 4, 4]"
    );
    assert!(graph.output(Some("z")).is_err());
}

/// A network on images with channels last, as TensorFlow's are exported.
fn channels_last(dims: Vec<Option<i64>>) -> Model {
    let mut m = Model::new(&[6, 5, 3]);
    m.input_dims = dims;
    m.constant("mean", &[3], &[0.1, 0.2, 0.3]);
    m.node(Node::new("Sub", "centre", &["input", "mean"], "centred"));
    m.node(
        Node::new("Transpose", "t", &["centred"], "nchw")
            .with(Attribute::ints("perm", &[0, 3, 1, 2])),
    );
    m.constant("conv1.weight", &[2, 3, 3, 3], &numbers(54, 1.0));
    m.node(Node::new("Conv", "c1", &["nchw", "conv1.weight"], "a"));
    m.output("a");
    m
}

#[test]
fn the_layout_of_the_input_is_found_or_asked_for() {
    let fixed = vec![None, Some(6), Some(5), Some(3)];
    let graph = load(&channels_last(fixed.clone()));
    assert_eq!(graph.layout(), Some(Layout::Nhwc));
    assert_eq!(graph.image_shape().unwrap(), [3, 6, 5]);
    let graph = load(&two(Node::new("Identity", "i", &["b"], "c")));
    assert_eq!(graph.layout(), Some(Layout::Nchw));

    // Without an operator on images nothing tells.
    let mut m = Model::new(&[6, 5, 3]);
    m.node(Node::new("Relu", "r", &["input"], "y"));
    m.output("y");
    let graph = load(&m);
    assert_eq!(graph.layout(), None);
    assert!(matches!(graph.image_shape(), Err(Error::NoLayout { .. })));
    let options = ImportOptions::default().with_layout(Some(Layout::Nhwc));
    assert_eq!(
        load_model(&m, &options).unwrap().image_shape().unwrap(),
        [3, 6, 5]
    );
}

#[test]
fn an_open_height_and_width_are_those_asked_for() {
    let open = channels_last(vec![None, None, None, Some(3)]);
    let error = load_model(&open, &ImportOptions::default()).unwrap_err();
    assert!(
        matches!(error, Error::OpenSize { dimension: 1, .. }),
        "{error}"
    );
    let options = ImportOptions::default().with_size(Some([7, 9]));
    let graph = load_model(&open, &options).unwrap();
    assert_eq!(graph.input_shape(), [7, 9, 3]);
    let fixed = channels_last(vec![None, Some(6), Some(5), Some(3)]);
    let message = load_model(&fixed, &options).unwrap_err().to_string();
    assert!(
        message.contains("7x9, expected the size that the model has, 6x5"),
        "{message}"
    );
    let channels = channels_last(vec![None, Some(6), Some(5), None]);
    assert!(refused(&channels).contains("leaves dimension 3 open"));
}

#[test]
fn folded_layers_have_the_path_of_their_module_as_another_name() {
    let names = [
        ("/layer1/layer1.0/conv1/Conv", Some("layer1.0.conv1")),
        (
            "/features/features.3/conv/conv.0/conv.0.0/Conv",
            Some("features.3.conv.0.0"),
        ),
        ("/conv1/Conv_2", Some("conv1")),
        ("/stem/Relu", None),
        ("conv", None),
    ];
    for (node, module) in names {
        let mut m = Model::new(&[1, 6, 6]);
        m.constant("onnx::Conv_12", &[2, 1, 3, 3], &numbers(18, 1.0));
        m.node(Node::new("Conv", node, &["input", "onnx::Conv_12"], "y"));
        m.output("y");
        assert_eq!(load(&m).layers()[0].module.as_deref(), module, "{node}");
    }
}

/// A convolution of onnxruntime's optimiser, `Relu(conv(x) + z)`.
fn fused(domain: &str) -> Model {
    let mut m = Model::new(&[2, 6, 6]);
    m.constant("conv1.weight", &[2, 2, 3, 3], &numbers(36, 1.0));
    m.constant("conv1.bias", &[2], &[0.5, -0.5]);
    let inputs = ["input", "conv1.weight", "conv1.bias", "input"];
    let mut conv = Node::new("FusedConv", "f", &inputs, "y")
        .with(Attribute::ints("pads", &[1, 1, 1, 1]))
        .with(Attribute::text("activation", "LeakyRelu"))
        .with(Attribute::floats("activation_params", &[0.25]));
    conv.domain = domain.into();
    m.node(conv);
    m.output("y");
    m
}

#[test]
fn fused_convolutions_are_computed_and_their_filters_read() {
    let m = fused("com.microsoft");
    let mut plain = Model::new(&[2, 6, 6]);
    plain.constants = m.constants.clone();
    let inputs = ["input", "conv1.weight", "conv1.bias"];
    plain.node(Node::new("Conv", "c", &inputs, "c").with(Attribute::ints("pads", &[1, 1, 1, 1])));
    plain.node(Node::new("Add", "a", &["c", "input"], "s"));
    plain.node(Node::new("LeakyRelu", "l", &["s"], "y").with(Attribute::float("alpha", 0.25)));
    plain.output("y");
    let (got, want) = (load(&m), load(&plain));
    assert_eq!(run(&got, got.outputs()), run(&want, want.outputs()));
    assert_eq!(got.layers()[0].name, "conv1");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, m.encode()).unwrap();
    let found = filters(&path).unwrap();
    assert_eq!((found.layers.len(), found.skipped.len()), (1, 0));
    assert_eq!(found.layers[0].name, "conv1");
    // Those of other runtimes are named.
    let other = fused("com.example");
    std::fs::write(&path, other.encode()).unwrap();
    let found = filters(&path).unwrap();
    assert_eq!(found.layers.len(), 0);
    let reason = "operator FusedConv of domain 'com.example', which is not supported";
    assert_eq!(found.skipped, [("conv1".to_string(), reason.to_string())]);
    assert!(refused(&other).contains("of domain 'com.example' is not supported"));
}

#[test]
fn taps_of_convolutions_along_lines_follow_their_activation_and_pooling() {
    let mut m = Model::new(&[4, 20]);
    m.constant("conv1.weight", &[2, 4, 3], &numbers(24, 1.0));
    m.constant("conv2.weight", &[2, 2, 3], &numbers(12, 1.0));
    m.node(Node::new("Conv", "c1", &["input", "conv1.weight"], "a"));
    m.node(Node::new("Relu", "r", &["a"], "b"));
    m.node(Node::new("MaxPool", "p", &["b"], "c").with(Attribute::ints("kernel_shape", &[3])));
    m.node(Node::new("Conv", "c2", &["c", "conv2.weight"], "y"));
    m.output("y");
    let graph = load(&m);
    let layer = &graph.layers()[0];
    let got = run(&graph, &[layer.conv, layer.activation, layer.pool]);
    let relu: Vec<f32> = got[0].iter().map(|v| v.max(0.0)).collect();
    assert_eq!(got[1], relu);
    let pooled = relu.chunks(18).flat_map(|line| line.windows(3));
    let pooled: Vec<f32> = pooled
        .map(|w| w.iter().fold(0.0f32, |m, &v| m.max(v)))
        .collect();
    assert_eq!(got[2], pooled);
    assert_eq!(graph.value(layer.consumed).shape, [2, 1, 16]);
}

#[test]
fn types_and_biases_are_told_in_words() {
    for (number, words) in [
        (16, "its elements are bfloat16, which"),
        (17, "its elements are float8e4m3fn, which"),
        (22, "its elements are int4, which"),
        (99, "its elements are of the unknown type 99, which"),
    ] {
        let mut m = Model::new(&[1, 3, 3]);
        m.constants
            .push(of_type("w", &[1, 1, 1, 1], number, &[0; 4]));
        m.node(Node::new("Conv", "c", &["input", "w"], "a"));
        m.output("a");
        let line = refused(&m);
        assert!(line.contains(words), "'{words}' is not in: {line}");
    }
    let mut m = Model::new(&[3]);
    m.constant("w", &[4, 2], &[0.0; 8]);
    m.node(Node::new("MatMul", "l", &["input", "w"], "a"));
    m.output("a");
    let line = refused(&m);
    assert!(line.contains("[4, 2]") && !line.contains("None"), "{line}");
    let mut m = Model::new(&[1, 3, 3]);
    m.constant("w", &[2, 1, 1, 1], &[0.0; 2]);
    m.constant("b", &[3], &[0.0; 3]);
    m.node(Node::new("Conv", "c", &["input", "w", "b"], "a"));
    m.output("a");
    let line = refused(&m);
    assert!(
        line.contains("a bias of shape [3] does not fit 2"),
        "{line}"
    );
}
