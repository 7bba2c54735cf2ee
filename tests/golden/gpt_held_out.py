#!/usr/bin/env python3
"""The loss of gpt2_tiny, as transformers computes it, on the held-out windows of a made-up text.

usage: gpt_held_out.py     (needs torch and transformers; writes gpt_held_out.json beside this file)

The text is of 53 characters, one of them two bytes long; its last part is held out. Windows follow each other without
overlap, each one token after the last target of the one before, and what is too short at the end is left out.
"""
import json
import math
import pathlib
import string
import sys

here = pathlib.Path(__file__).parent
from formula import hash_uniform

sys.path.pop(0)  # safetensors.py beside this file is not the package
import torch
from transformers import GPT2LMHeadModel

ALPHABET = "".join(sorted(string.ascii_letters + "é"))
CONTEXT, COUNT, FRACTION = 24, 700, 0.3

text = "".join(ALPHABET[int((u + 0.5) * len(ALPHABET))] for u in hash_uniform("held-out text", COUNT))
model = GPT2LMHeadModel.from_pretrained(here / "gpt2_tiny").double().eval()


def losses(part):
    ids = torch.tensor([ALPHABET.index(c) for c in part])
    windows = (len(ids) - 1) // CONTEXT
    total = 0.0
    for w in range(windows):
        seen = ids[w * CONTEXT : (w + 1) * CONTEXT]
        next_ids = ids[w * CONTEXT + 1 : (w + 1) * CONTEXT + 1]
        with torch.no_grad():
            log_p = torch.log_softmax(model(seen[None]).logits[0], dim=-1)
        total -= log_p[torch.arange(CONTEXT), next_ids].sum().item()
    nats = total / (windows * CONTEXT)
    return {"nats": nats, "bits_per_byte": nats / math.log(2) * len(part) / len(part.encode()), "windows": windows}


raw = text.encode()
cut = math.floor(len(raw) * (1 - FRACTION))
while raw[cut] & 0xC0 == 0x80:  # not inside a character
    cut += 1
record = {"fraction": FRACTION, "text": text, "all": losses(text), "validation": losses(raw[cut:].decode())}
(here / "gpt_held_out.json").write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n")
