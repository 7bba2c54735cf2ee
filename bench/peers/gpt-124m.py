"""A training step of GPT-2 of 124 M parameters, context 1,024."""
from .common.language_model import gpt


def case(options):
    return gpt(options, 768, 12, 1024, 32, 50304)
