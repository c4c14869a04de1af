//! Shapes of real layers, by name: LeNet-5, LeNet-5x10 (ten times the channels), ResNet-18 and -50,
//! VGG-16, MobileNetV2.

/// A convolution of one sample: `x [C, H, W]`, `weight [M, C / groups, k, k]`, zero padding `k / 2`.
#[derive(Clone, Copy)]
pub struct Conv {
    pub name: &'static str,
    pub channels: usize,
    pub size: usize,
    pub filters: usize,
    pub kernel: usize,
    pub stride: usize,
    pub groups: usize,
    /// Samples that go through together.
    pub batch: usize,
}

impl Conv {
    /// Side of the output.
    pub fn out(&self) -> usize {
        (self.size - 1) / self.stride + 1
    }

    /// Multiplications and additions of the whole batch.
    pub fn flops(&self) -> u64 {
        let sum = self.channels / self.groups * self.kernel * self.kernel;
        2 * (self.batch * self.filters * self.out() * self.out() * sum) as u64
    }
}

const fn conv(
    name: &'static str,
    [channels, size, filters, kernel, stride, groups]: [usize; 6],
    batch: usize,
) -> Conv {
    Conv {
        name,
        channels,
        size,
        filters,
        kernel,
        stride,
        groups,
        batch,
    }
}

/// Convolutions.
pub const CONVS: &[Conv] = &[
    conv("lenet5/conv1", [1, 28, 6, 5, 1, 1], 256),
    conv("lenet5/conv2", [6, 14, 16, 5, 1, 1], 256),
    conv("lenet5x10/conv2", [60, 14, 160, 5, 1, 1], 64),
    conv("resnet/stem", [3, 224, 64, 7, 2, 1], 4),
    conv("resnet18/layer1", [64, 56, 64, 3, 1, 1], 16),
    conv("resnet18/layer2.0", [64, 56, 128, 3, 2, 1], 16),
    conv("resnet18/layer2", [128, 28, 128, 3, 1, 1], 16),
    conv("resnet18/layer3", [256, 14, 256, 3, 1, 1], 16),
    conv("resnet18/layer4", [512, 7, 512, 3, 1, 1], 16),
    conv("resnet50/layer1.1x1", [64, 56, 256, 1, 1, 1], 16),
    conv("resnet50/layer2.1x1", [512, 28, 128, 1, 1, 1], 16),
    conv("resnet50/layer3.down", [512, 28, 1024, 1, 2, 1], 16),
    conv("resnet50/layer4.1x1", [2048, 7, 512, 1, 1, 1], 16),
    conv("vgg16/conv1_2", [64, 224, 64, 3, 1, 1], 2),
    conv("vgg16/conv3", [256, 56, 256, 3, 1, 1], 4),
    conv("mobilenetv2/stem", [3, 224, 32, 3, 2, 1], 16),
    conv("mobilenetv2/expand", [24, 56, 144, 1, 1, 1], 16),
    conv("mobilenetv2/depthwise", [144, 56, 144, 3, 1, 144], 16),
    conv("mobilenetv2/depthwise.s2", [144, 56, 144, 3, 2, 144], 16),
    conv("mobilenetv2/project", [144, 28, 32, 1, 1, 1], 16),
];

/// Samples of one channel: `[n, dim]`.
#[derive(Clone, Copy)]
pub struct Channel {
    pub name: &'static str,
    pub samples: usize,
    pub dim: usize,
    pub k: usize,
}

const fn channel(name: &'static str, samples: usize, dim: usize, k: usize) -> Channel {
    Channel {
        name,
        samples,
        dim,
        k,
    }
}

/// Channels whose neighbours are searched. A dimension is a map's height times width.
pub const CHANNELS: &[Channel] = &[
    channel("lenet5/conv2.pool", 10_000, 25, 25),
    channel("16-d", 50_000, 16, 50),
    channel("64-d", 50_000, 64, 50),
    channel("resnet/layer4", 50_000, 49, 25),
    channel("resnet/layer3", 20_000, 196, 25),
    channel("resnet/layer2", 10_000, 784, 25),
    channel("lenet5x10/conv2.aggregate", 10_000, 4_000, 25),
    channel("resnet/layer4, n 1k", 1_000, 49, 25),
    channel("resnet/layer4, n 100k", 100_000, 49, 25),
    channel("64-d, k 1024", 50_000, 64, 1024),
];

/// Gram matrices `[groups, n, dim]`.
pub const GRAMS: &[(&str, [usize; 3])] = &[
    ("candidates, k 25", [4096, 25, 49]),
    ("samples of a channel", [4, 1024, 196]),
    ("samples of a layer", [1, 4096, 2048]),
];

/// Responses `[maps, inputs, h, w]` that are correlated.
pub const RESPONSES: &[(&str, [usize; 4])] = &[
    ("160 maps", [160, 1, 16, 16]),
    ("lenet5x10/conv2", [160, 1, 14, 14]),
    ("resnet18/layer1", [64, 3, 56, 56]),
    ("resnet18/layer3", [256, 3, 14, 14]),
];

/// Filters `[M, C, h, w]` whose similarity is taken.
pub const FILTERS: &[(&str, [usize; 4])] = &[
    ("lenet5x10/conv2", [160, 60, 5, 5]),
    ("resnet/stem", [64, 3, 7, 7]),
    ("resnet/layer4", [512, 512, 3, 3]),
    ("2048 filters", [2048, 512, 3, 3]),
    ("resnet50/layer4.1x1", [2048, 512, 1, 1]),
    ("mobilenetv2/depthwise", [960, 1, 3, 3]),
];

/// Channels and queries whose supports are compared.
pub const SUPPORTS: &[(&str, usize, usize)] = &[
    ("lenet5/conv2", 16, 10_000),
    ("lenet5x10/conv2", 160, 10_000),
    ("resnet/layer4", 512, 2_000),
];

/// Rows times weights, `[R, K]` by `[K, M]`.
pub const LINEARS: &[(&str, [usize; 3])] = &[
    ("lenet5/fc1", [256, 400, 120]),
    ("lenet5x10/fc1", [256, 4000, 1200]),
    ("resnet50/fc", [64, 2048, 1000]),
];

/// Pooling of `[N, C, H, W]`: window, step, padding.
pub const POOLS: &[(&str, [usize; 4], [usize; 3])] = &[
    ("lenet5x10/pool2", [256, 160, 10, 10], [2, 2, 0]),
    ("resnet/maxpool", [16, 64, 112, 112], [3, 2, 1]),
];

/// Activations `[N, C, H, W]` that functions, means, copies and shuffles go over.
pub const MAPS: &[(&str, [usize; 4])] = &[
    ("lenet5x10/conv2", [256, 160, 14, 14]),
    ("resnet18/layer1", [16, 64, 56, 56]),
    ("resnet50/layer4", [64, 2048, 7, 7]),
];
