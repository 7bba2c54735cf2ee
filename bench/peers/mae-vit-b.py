"""A training step of MAE: ViT-B with patches of 16 at 224 pixels (He et al. 2022)."""
from . import mae


def case(options):
    return mae.case(options, 224, patch=16, width=768, depth=12, heads=12, decoder=(512, 8, 16))
