"""What the cases share: what they return, precision, compilation, optimizers and the two views."""
import torch


class Case:
    """What a case returns: step(), and how many parameters it trains."""

    ahead = 0  # steps that lie ready when a round begins

    def __init__(self, step, modules=(), parameters=None):
        self.step = step
        counted = [p.numel() for m in modules for p in m.parameters() if p.requires_grad]
        self.parameters = sum(counted) if parameters is None else parameters


def compiled(options):
    return torch.compile if options.config == "compile" else lambda function: function


def amp(options):
    return torch.autocast(options.device, dtype=torch.bfloat16, enabled=options.dtype == "bf16")


def trainer(loss_of, optimizer, after=lambda: None):
    def step():
        loss = loss_of()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        after()
        return loss

    return step


def sgd(modules):
    parameters = [p for m in modules for p in m.parameters()]
    return torch.optim.SGD(parameters, 0.01, 0.9, weight_decay=1e-4, fused=True)


def adamw(module):
    return torch.optim.AdamW(module.parameters(), 1e-4, weight_decay=0.05, fused=True)


def two_views(options):
    shape = (2 * (options.batch or 64), 3, options.size or 32, options.size or 32)
    return torch.rand(shape, device=options.device).to(memory_format=torch.channels_last)


def two_view_case(options, model, loss):
    """A step of SGD on loss(model(both views of a batch, one after the other))."""
    model = model.to(options.device, memory_format=torch.channels_last)
    views = two_views(options)

    @compiled(options)
    def loss_of(x):
        with amp(options):
            z = model(x)
        return loss(z)

    return Case(trainer(lambda: loss_of(views), sgd([model])), [model])


def gradient_of(function, x):
    def step():
        x.grad = None
        loss = function(x)
        loss.backward()
        return loss

    return step


def loss_case(options, loss, columns):
    """A loss alone, forward and backward, of 4,096 random rows."""
    z = torch.randn(options.batch or 4096, options.size or columns, device=options.device, requires_grad=True)
    return Case(gradient_of(compiled(options)(loss), z))
