"""Records what PyTorch and numpy make of losses between views and of the spread of features, for tests/engine/ops/contrast_test.cpp.

Run: python3 tests/golden/nt_xent.py   (needs torch and numpy; writes tests/golden/nt_xent.h beside itself)
Float64 all through; the losses are written from the papers with autograd, the spread with numpy's SVD.
"""
import pathlib
import numpy
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def wave(rows, dim, phase):
    """The test matrix, by a formula that the test repeats."""
    i, d = torch.meshgrid(torch.arange(float(rows)), torch.arange(float(dim)), indexing="ij")
    return torch.sin(0.7 * i + 1.3 * d + 0.05 * i * d + phase) + 0.5 * torch.cos(0.37 * d)


def nt_xent(z, temperature):
    z = F.normalize(z, dim=1)
    logits = z @ z.t() / temperature
    logits = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(z)).roll(len(z) // 2))


cases = {}
for rows, dim, temperature in ((6, 5, 0.5), (34, 20, 0.2), (130, 128, 0.05)):
    z = wave(rows, dim, 0.2).requires_grad_()
    loss = nt_xent(z, temperature)
    loss.backward()
    cases[f"nt_xent_{rows}_loss"] = loss
    if rows < 100:
        cases[f"nt_xent_{rows}_grad"] = z.grad
    else:  # each row's projections on the test matrix's first two rows
        cases[f"nt_xent_{rows}_projection"] = z.grad @ wave(2, dim, 0.2).t()

p, z = wave(7, 12, 0.2).requires_grad_(), wave(7, 12, 1.1).requires_grad_()
loss = (2 - 2 * F.cosine_similarity(p, z, dim=1)).mean()
loss.backward()
cases.update(cosine_loss=loss, cosine_grad_p=p.grad, cosine_grad_z=z.grad)


def spread(x):
    """Mean standard deviation of unit rows times sqrt(D), and the effective rank."""
    unit = x / numpy.linalg.norm(x, axis=1, keepdims=True)
    s = numpy.linalg.svd(x, compute_uv=False)
    share = s / s.sum()
    share = share[share > 0]
    return torch.tensor([unit.std(axis=0).mean() * x.shape[1] ** 0.5, numpy.exp(-(share * numpy.log(share)).sum())])


def uneven(rows, dim):
    """Every direction present, each weaker than the one before: no singular value is 0."""
    x = torch.sin(torch.arange(float(rows * dim)) ** 2 * 0.011 + 0.3).reshape(rows, dim)
    return (x * 0.9 ** torch.arange(float(dim))).numpy()


cases["spread_tall"] = spread(uneven(40, 24))
cases["spread_wide"] = spread(uneven(30, 50))

lines = [
    f"// Written by nt_xent.py with PyTorch {torch.__version__.split('+')[0]} and numpy {numpy.__version__}, in float64.",
    "#pragma once",
    "",
    "namespace golden {",
    "// clang-format off",
]
for name, t in cases.items():
    values = [f"{v:.12g}" for v in t.detach().flatten().tolist()]
    lines.append(f"constexpr double {name}[] = {{")
    lines += ["    " + ", ".join(values[i:i + 6]) + "," for i in range(0, len(values), 6)]
    lines.append("};")
lines += ["// clang-format on", "}  // namespace golden", ""]
pathlib.Path(__file__).with_suffix(".h").write_text("\n".join(lines))
