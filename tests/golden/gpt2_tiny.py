#!/usr/bin/env python3
"""A random GPT-2 of Hugging Face's transformers, as it saves itself, and the logits that it gives for a few tokens.

usage: gpt2_tiny.py     (needs torch and transformers; writes gpt2_tiny/ beside this file)
"""
import json
import pathlib
import sys

sys.path.pop(0)  # safetensors.py beside this file is not the package
import torch
from transformers import GPT2Config, GPT2LMHeadModel

torch.manual_seed(0)
here = pathlib.Path(__file__).parent / "gpt2_tiny"
config = GPT2Config(vocab_size=53, n_positions=24, n_embd=24, n_layer=2, n_head=3)
model = GPT2LMHeadModel(config).eval()
with torch.no_grad():  # the initial weights are so small that an exchanged matrix would hardly show
    for p in model.parameters():
        p.add_(torch.randn_like(p) * 0.2)
model.save_pretrained(here)

tokens = torch.randint(0, config.vocab_size, (2, config.n_positions))
with torch.no_grad():
    logits = model.double()(tokens).logits
(here / "generation_config.json").unlink(missing_ok=True)
json.dump({"tokens": tokens.flatten().tolist(), "shape": list(logits.shape),
           "logits": [round(v, 10) for v in logits.flatten().tolist()]}, open(here / "logits.json", "w"))
