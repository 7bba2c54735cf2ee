#!/usr/bin/env python3
"""The preset shakespeare-char-cpu in PyTorch: the same recipe, data, model and evaluation, to compare loss and minutes.

usage: bench/gpt_char.py TEXT [--steps N] [--dtype f32|bf16] [--seed S] [--no-bias]
Prints one JSON line. Needs torch. Windows are drawn at random, as nanoGPT does (Karpathy 2022, config
train_shakespeare_char, whose README gives 1.88 for these sizes); the validation loss is over all windows of the
held-out tenth, as `gestalt pretrain gpt` prints it.
"""
import argparse
import json
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("text")
p.add_argument("--steps", type=int, default=2000)
p.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
p.add_argument("--seed", type=int, default=1)
p.add_argument("--no-bias", action="store_true", help="no biases in layers and norms, nanoGPT's default")
args = p.parse_args()

LAYERS, HEADS, WIDTH, CONTEXT, BATCH = 4, 4, 128, 64, 12
PEAK, LEAST, WARMUP, CLIP = 1e-3, 1e-4, 100, 1.0
bias = not args.no_bias
torch.manual_seed(args.seed)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, bias=bias), nn.LayerNorm(WIDTH, bias=bias)
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH, bias=bias), nn.Linear(WIDTH, WIDTH, bias=bias)
        self.fc1, self.fc2 = nn.Linear(WIDTH, 4 * WIDTH, bias=bias), nn.Linear(4 * WIDTH, WIDTH, bias=bias)

    def forward(self, x):
        b, t, _ = x.shape
        q, k, v = (m.reshape(b, t, HEADS, -1).transpose(1, 2) for m in self.qkv(self.norm1(x)).split(WIDTH, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(y.transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=bias)
        for name, w in self.named_parameters():
            if w.dim() > 1:
                shrink = math.sqrt(2 * LAYERS) if name.endswith(("proj.weight", "fc2.weight")) else 1
                nn.init.normal_(w, std=0.02 / shrink)
            elif name.endswith("bias"):
                nn.init.zeros_(w)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.wte.weight)
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())


text = open(args.text, encoding="utf-8").read()
ids = {c: i for i, c in enumerate(sorted(set(text)))}
data = torch.tensor([ids[c] for c in text])
train, held_out = data[: int(0.9 * len(data))], data[int(0.9 * len(data)):]
model = Gpt(len(ids))
decayed = [w for w in model.parameters() if w.dim() > 1]
others = [w for w in model.parameters() if w.dim() == 1]
optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}],
                              lr=PEAK, betas=(0.9, 0.99), fused=True)
autocast = torch.autocast("cpu", torch.bfloat16, enabled=args.dtype == "bf16")


def rate(step):
    if step < WARMUP:
        return PEAK * (step + 1) / (WARMUP + 1)
    return LEAST + (PEAK - LEAST) * 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (args.steps - WARMUP)))


begin = time.perf_counter()
for step in range(args.steps):
    for group in optimizer.param_groups:
        group["lr"] = rate(step)
    at = torch.randint(len(train) - CONTEXT, (BATCH,))
    tokens = torch.stack([train[i: i + CONTEXT] for i in at])
    targets = torch.stack([train[i + 1: i + 1 + CONTEXT] for i in at])
    with autocast:
        loss = model(tokens, targets)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    optimizer.step()
minutes = (time.perf_counter() - begin) / 60

windows = (len(held_out) - 1) // CONTEXT
tokens = held_out[: windows * CONTEXT].view(windows, CONTEXT)
targets = held_out[1: windows * CONTEXT + 1].view(windows, CONTEXT)
with torch.no_grad(), autocast:
    total = sum(model(tokens[i: i + 64], targets[i: i + 64]).item() * len(tokens[i: i + 64])
                for i in range(0, windows, 64))
print(json.dumps({"torch": torch.__version__, "dtype": args.dtype, "seed": args.seed, "bias": bias,
                  "steps": args.steps, "minutes": round(minutes, 2), "validation_loss": round(total / windows, 4)}))
