"""The table of systems: which backbone carries which attention on its last feature map.

Plain data, so that `--help`, docs/reference.md and the model builder read the same rows.
"""

from __future__ import annotations

from dataclasses import dataclass

ATTENTIONS = ("none", "ca", "eca", "bot", "ca+bot")
FORMER_ATTENTIONS = ("ca-open", "ca-stage")  # of version 0.1; its exported files still answer


@dataclass(frozen=True)
class System:
    """One row: a timm backbone (name.weights_tag) and the attention after its last stage."""

    name: str
    backbone: str
    attention: str = "none"
    reduction: int = 16


LITE0 = "tf_efficientnet_lite0.in1k"
# Google trained these two at 240 and 260 pixels. --image-size is a multiple of 32: 224 by default,
# 256 is the nearest to both.
LITE1 = "tf_efficientnet_lite1.in1k"
LITE2 = "tf_efficientnet_lite2.in1k"
V2_S = "tf_efficientnetv2_s.in21k_ft_in1k"
MOBILENET_V3 = "mobilenetv3_small_100.lamb_in1k"
MOBILENET_V4 = "mobilenetv4_conv_small.e2400_r224_in1k"
RESNET18 = "resnet18.a1_in1k"

SYSTEMS = {
    system.name: system
    for system in (
        System("EfficientNet_Lite0_CA", LITE0, "ca"),
        System("EfficientNet_Lite0", LITE0),
        System("EfficientNet_Lite1_CA", LITE1, "ca"),
        System("EfficientNet_Lite1", LITE1),
        System("EfficientNet_Lite2_CA", LITE2, "ca"),
        System("EfficientNet_Lite2", LITE2),
        System("EfficientNetV2_S_CA", V2_S, "ca", reduction=32),
        System("EfficientNetV2_S_Hybrid", V2_S, "ca+bot", reduction=32),
        System("EfficientNetV2_S", V2_S),
        System("MobileNetV3_Small_CA", MOBILENET_V3, "ca"),
        System("MobileNetV3_Small_Hybrid", MOBILENET_V3, "ca+bot"),
        System("MobileNetV3_Small", MOBILENET_V3),
        System("ResNet18_ECA", RESNET18, "eca"),
        System("ResNet18", RESNET18),
        System("MobileNetV4_Conv_Small_CA", MOBILENET_V4, "ca"),
        System("MobileNetV4_Conv_Small", MOBILENET_V4),
    )
}
