"""torch's AdamW, which does not wait for torch's compiler."""

from __future__ import annotations

import torch

from lite0ca.model.compiler_later import compiler_later


class AdamW(torch.optim.AdamW):
    """As torch's; what imports the compiler there is done without it (`compiler_later.py`)."""

    def __init__(self, params, lr: float = 1e-3, **options):
        with compiler_later():
            super().__init__(params, lr, **options)

    def zero_grad(self, set_to_none: bool = True) -> None:
        with compiler_later():
            super().zero_grad(set_to_none)

    def step(self, closure=None):
        with compiler_later():
            return super().step(closure)

    def state_dict(self) -> dict:
        with compiler_later():
            return super().state_dict()

    def load_state_dict(self, state_dict: dict) -> None:
        with compiler_later():
            super().load_state_dict(state_dict)
