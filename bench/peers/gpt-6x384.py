"""A training step of a GPT of 6 layers of width 384, context 256."""
from .common.language_model import gpt


def case(options):
    return gpt(options, 384, 6, 256, 16)
