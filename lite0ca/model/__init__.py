"""A timm backbone with attention, and where its weights come from."""

from lite0ca.model.compiler_later import compiler_later

with compiler_later():
    # So that `import lite0ca.model` makes timm know `efficientnet_lite0_ca`.
    from lite0ca.model import timm_entry as timm_entry
