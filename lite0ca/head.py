"""The head first: attention and classifier alone, on features of the frozen backbone.

A fresh head's first gradients would turn pretrained features upside down (Kumar et al. 2022, arXiv
2202.10054). The features are computed once, so a pass over them costs next to nothing.
"""

from __future__ import annotations

import math
from itertools import islice

import numpy as np
import torch
import torch.nn.functional as F
from timm.optim import param_groups_weight_decay

from lite0ca import machine, ranks
from lite0ca.config import Config
from lite0ca.errors import TrainingDiverged
from lite0ca.evaluate import to_device
from lite0ca.state import State

BATCH = 32
MOST_IMAGES = 4096  # 0.5 GB of Lite0's feature maps at 224 pixels


@torch.no_grad()
def features_of(state: State, loader, precision) -> tuple[torch.Tensor, torch.Tensor]:
    """(last feature maps (N, C, h, w) in half precision, class numbers (N,)), on the CPU.

    Of augmented photos, with BatchNorm as in training: it takes over the statistics of leaves,
    and the head does not meet other features in the first epoch.
    """
    state.model.train()
    maps, truth = [], []
    enough = math.ceil(MOST_IMAGES * len(loader) / loader.batch_sampler.images)
    # So many batches on every rank, however many images each of them gets.
    for photos, numbers in machine.bar(islice(loader, enough), "features"):
        photos = to_device(photos, precision.device)
        with precision.autocast():
            features = state.model.backbone.forward_features(state.model.normalize(photos))
        maps.append(features.half().cpu())  # B C h w
        truth.append(numbers)
    everybodys = ranks.from_all((torch.cat(maps), torch.cat(truth)))
    return tuple(torch.cat(parts) for parts in zip(*everybodys))


def train_head(state: State, loader, config: Config, precision, weight) -> None:
    """`config.head_epochs` passes with the head's learning rate, falling to zero; says the loss."""
    torch.manual_seed(config.seed)
    maps, truth = features_of(state, loader, precision)
    images = len(truth)
    state.average_statistics()
    model = state.model
    heads = torch.nn.ParameterList(model.head_parameters())
    groups = param_groups_weight_decay(heads, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, config.head_lr, fused=True)
    batches = math.ceil(images / BATCH)
    steps = config.head_epochs * batches
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1 / steps, steps)
    rng = np.random.default_rng(config.seed)
    for _ in range(config.head_epochs):
        loss_sum = 0.0
        for some in np.array_split(rng.permutation(images), batches):
            features, numbers = (x[some].to(precision.device) for x in (maps, truth))
            logits = model.forward_head(model.attention(features.float()))  # B C h w -> B classes
            loss = F.cross_entropy(logits, numbers, weight, label_smoothing=config.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            falling.step()
            loss_sum += loss.detach() * len(some)
    if not math.isfinite(loss_sum):
        raise TrainingDiverged("--head-epochs: the loss is not finite; lower --head-lr")
    print(
        f"head first: {config.head_epochs} passes over the features of {images:,} images, "
        f"train loss {loss_sum.item() / images:.4f}",
        flush=True,
    )
    if state.ema:
        state.ema.set(model)
