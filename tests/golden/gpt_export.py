#!/usr/bin/env python3
"""Checks that a GPT which gestalt exported loads in Hugging Face's transformers and gives the same logits there.

usage: gpt_export.py build/gestalt_tests RUN/gpt2     (needs torch and transformers)

transformers loads the folder, with no tensor missing, left over or misshapen, and computes the logits of random tokens in
f64; the test program loads the same folder and compares.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.pop(0)  # safetensors.py beside this file is not the package
import torch
from transformers import GPT2LMHeadModel

program, folder = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
model, loading = GPT2LMHeadModel.from_pretrained(folder, output_loading_info=True)
problems = {kind: list(names) for kind, names in loading.items() if names}
assert not problems, problems
config = model.config
generator = torch.Generator().manual_seed(1)
tokens = torch.randint(0, config.vocab_size, (3, config.n_positions), generator=generator)
with torch.no_grad():
    logits = model.double().eval()(tokens).logits

with tempfile.TemporaryDirectory() as work:
    for name in ("model.safetensors", "config.json"):
        (pathlib.Path(work) / name).symlink_to(folder / name)
    record = {"tokens": tokens.flatten().tolist(), "shape": list(logits.shape), "logits": logits.flatten().tolist()}
    (pathlib.Path(work) / "logits.json").write_text(json.dumps(record))
    run = subprocess.run([program, "-s", "-tc=a GPT-2 that transformers saved gives its logits"],
                         env={**os.environ, "GESTALT_GPT_LOGITS": work + "/"}, capture_output=True, text=True)
passed = run.returncode == 0 and "test cases: 1 | 1 passed" in " ".join(run.stdout.split())
if not passed:
    print(run.stdout[-4000:])
error = next((line.strip() for line in run.stdout.splitlines() if "relative error" in line), "")
parameters = sum(p.numel() for p in model.parameters())
print(f"{folder}: {parameters} parameters, {logits.numel()} logits {'agree' if passed else 'DIFFER'}; {error}")
sys.exit(not passed)
