"""A training step of a GPT of 4 layers of width 128, context 64."""
from .common.language_model import gpt


def case(options):
    return gpt(options, 128, 4, 64, 12)
