"""The networks: name, where it comes from, size of its images. Weights are random, nothing is downloaded."""
from torch import nn

from .own import OWN

# Sizes are small where the network allows it.
TORCHVISION = {
    "alexnet": 224, "vgg11_bn": 224, "resnet18": 64, "resnet50": 64, "resnext50_32x4d": 64, "densenet121": 64, "googlenet": 64,
    "inception_v3": 96, "mobilenet_v2": 64, "mobilenet_v3_small": 64, "mobilenet_v3_large": 64, "shufflenet_v2_x0_5": 64,
    "squeezenet1_1": 64, "mnasnet0_5": 64, "efficientnet_b0": 64, "efficientnet_v2_s": 64, "regnet_x_400mf": 64,
    "regnet_y_400mf": 64, "convnext_tiny": 64, "fcn_resnet50": 64, "deeplabv3_mobilenet_v3_large": 64,
    "lraspp_mobilenet_v3_large": 64, "swin_t": 64,
}
TIMM = {
    "convnext_atto": 64, "convnextv2_atto": 64, "hrnet_w18_small": 64, "resnest14d": 64, "res2net50_14w_8s": 64,
    "efficientnet_lite0": 64, "tf_efficientnet_b0": 64, "tf_efficientnetv2_b0": 64, "mixnet_s": 64, "ghostnet_100": 64,
    "repvgg_a0": 64, "regnety_002": 64, "eca_nfnet_l0": 64, "cspresnet50": 64, "darknet53": 64, "dla34": 64,
    "ese_vovnet19b_dw": 64, "selecsls42b": 64, "hardcorenas_a": 64, "lcnet_050": 64, "mobileone_s0": 64,
    "mobilenetv4_conv_small": 64, "fastvit_t8": 64, "edgenext_xx_small": 64, "poolformer_s12": 64, "tinynet_e": 64,
    "rexnet_100": 64, "skresnet18": 64, "legacy_seresnet18": 64, "resnetv2_50x1_bit": 64, "xception41": 64,
    "mobilevit_xxs": 64, "inception_next_atto": 64, "starnet_s1": 64, "semnasnet_075": 64, "dpn48b": 64,
    "gcresnext26ts": 64, "levit_128s": 224, "vit_tiny_patch16_224": 224, "inception_resnet_v2": 96, "repghostnet_050": 64,
}
# Names like those that people give are unique over all sources.
SOURCES = {**{n: ("torchvision", s) for n, s in TORCHVISION.items()}, **{n: ("timm", s) for n, s in TIMM.items()}, **{n: ("own", 64) for n in OWN}}


class First(nn.Module):
    """The main output of a segmentation network, which returns several by name."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x)["out"]


def build(name):
    """The network, auxiliary heads off."""
    source, size = SOURCES[name]
    if source == "own":
        return OWN[name]()
    if source == "timm":
        import timm

        options = {"img_size": size} if name.startswith("vit") else {}
        return timm.create_model(name, pretrained=False, **options)
    import torchvision

    options = {"weights": None}
    if name in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": False}
    if name.startswith(("fcn", "deeplab", "lraspp")):
        return First(torchvision.models.get_model(name, weights_backbone=None, **options))
    return torchvision.models.get_model(name, **options)
