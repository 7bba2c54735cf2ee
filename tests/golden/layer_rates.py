#!/usr/bin/env python3
"""The layer-wise learning-rate factors that MAE's fine-tuning (after BEiT and ELECTRA) gives a timm ViT's parameters.

usage: layer_rates.py     (needs torch and timm; writes layer_rates.json beside this file)

He et al. 2022, appendix A.1: the factor of a parameter is decay^(depth + 1 - layer), where cls_token, pos_embed and
patch_embed are layer 0, block i is layer i + 1, and all above the blocks is layer depth + 1.
"""
import json
import pathlib
import re
import sys

sys.path.pop(0)  # safetensors.py beside this file is not the package
import timm

DECAY = 0.75
model = timm.create_model("vit_tiny_patch16_224", img_size=32, patch_size=4, num_classes=10)
depth = len(model.blocks)


def layer(name):
    if name in ("cls_token", "pos_embed") or name.startswith("patch_embed."):
        return 0
    block = re.match(r"blocks\.(\d+)\.", name)
    return int(block.group(1)) + 1 if block else depth + 1


rates = {name: DECAY ** (depth + 1 - layer(name)) for name, _ in model.named_parameters()}
out = pathlib.Path(__file__).with_suffix(".json")
out.write_text(json.dumps({"decay": DECAY, "rates": rates}, indent=1) + "\n")
