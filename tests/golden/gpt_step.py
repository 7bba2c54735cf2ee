#!/usr/bin/env python3
"""One next-token step of a small GPT-2 in PyTorch (f64): loss and every gradient. Writes gpt_step.json.

usage: gpt_step.py > gpt_step.json     (needs torch)
"""
import torch
import torch.nn.functional as F

from formula import hash_uniform, json_text, parameter, summary
from trajectory import descend

torch.set_default_dtype(torch.float64)
LAYERS, HEADS, WIDTH, CONTEXT, VOCABULARY, BATCH, LENGTH = 3, 4, 48, 80, 61, 2, 70


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = torch.nn.Linear(WIDTH, 3 * WIDTH)
        self.proj = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = (p.view(b, t, HEADS, d // HEADS).transpose(1, 2) for p in self.qkv(x).split(d, dim=2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).reshape(b, t, d))


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(WIDTH, 4 * WIDTH)
        self.fc2 = torch.nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = torch.nn.LayerNorm(WIDTH), torch.nn.LayerNorm(WIDTH)
        self.attn, self.mlp = Attention(), Mlp()

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Gpt(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = torch.nn.Embedding(VOCABULARY, WIDTH), torch.nn.Embedding(CONTEXT, WIDTH)
        self.h = torch.nn.ModuleList([Block() for _ in range(LAYERS)])
        self.ln_f = torch.nn.LayerNorm(WIDTH)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.t()


model = torch.nn.ModuleDict({"model": Gpt()})  # for the names
with torch.no_grad():
    for name, p in model.named_parameters():
        p.copy_(torch.from_numpy(parameter(name, tuple(p.shape))))

window = ((hash_uniform("tokens", BATCH * (LENGTH + 1)) + 0.5) * VOCABULARY).astype("int64").reshape(BATCH, -1)
tokens = torch.from_numpy(window)


def columns(step):
    return {"loss": F.cross_entropy(model["model"](tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())}


loss = columns(0)["loss"]
loss.backward()
print(json_text({
    "torch": torch.__version__,
    "fields": "\n".join(["data = sums:50", f"vocabulary-multiple = {VOCABULARY}", f"batch = {BATCH}", f"layers = {LAYERS}",
                         f"heads = {HEADS}", f"width = {WIDTH}", f"context = {CONTEXT}"]),
    "vocabulary": VOCABULARY,
    "length": LENGTH,
    "tokens": "tokens",
    "loss": loss.item(),
    "gradients": {name: summary(name, p.grad.numpy()) for name, p in model.named_parameters()},
    "trajectory": descend(0.05, [(model.parameters(), columns)]),
}))
