"""Three steps of plain gradient descent on one batch, for the records of golden steps: what each step's columns are, and
what the steps leave in all that is not trained."""
import torch

from formula import summary

STEPS = 3


def descend(rate, networks, after=None, states=None, first=0):
    """`networks` learn in turn: each is (parameters, columns), where columns(step) gives {column: value}, first what is
    descended. After each step's updates `after(step)` moves teachers; states() gives {name: value} at the end."""
    networks, columns = [(list(parameters), columns_of) for parameters, columns_of in networks], {}
    for step in range(first, first + STEPS):
        for parameters, columns_of in networks:
            values = columns_of(step)
            gradients = torch.autograd.grad(next(iter(values.values())), parameters)
            with torch.no_grad():
                for parameter, gradient in zip(parameters, gradients):
                    parameter -= rate * gradient
            for name, value in values.items():
                columns.setdefault(name, []).append(value.item())
        if after:
            with torch.no_grad():
                after(step)
    held = states() if states else {}
    return {"step": first, "rate": rate, "columns": columns,
            "states": {name: summary(name, value.detach().numpy()) for name, value in held.items()}}


def statistics(model):
    return {name: value for name, value in model.named_buffers() if not name.endswith("num_batches_tracked")}
