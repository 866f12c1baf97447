"""timm's name for the network of the guide: `efficientnet_lite0_ca`."""

from __future__ import annotations

from timm.models import register_model

from lite0ca.model.network import LeafClassifier, build_model
from lite0ca.model.weights import load_imagenet
from lite0ca.settings.systems import SYSTEMS


@register_model
def efficientnet_lite0_ca(
    pretrained: bool = False, num_classes: int = 4, drop_rate: float = 0.2, **kwargs
) -> LeafClassifier:
    """timm's name for the contract's network; `pretrained` loads the ImageNet backbone."""
    passed_by_timm = ("pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
    backbone = {name: value for name, value in kwargs.items() if name not in passed_by_timm}
    system = SYSTEMS["EfficientNet_Lite0_CA"]
    model = build_model(system, num_classes, dropout=drop_rate, **backbone)
    if pretrained:
        load_imagenet(model)
    return model
