"""The training of many small networks in PyTorch: one after the other, compiled, and as batched matrix products."""

from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 128


def loop(
    members: int, hidden: int, x: np.ndarray, y: np.ndarray, *, compiled: bool, fused: bool = False
) -> Callable[[], float]:
    """An epoch of each network in turn; the mean loss. A fused optimiser updates all parameters in one kernel."""
    torch, device = _torch()
    data = torch.from_numpy(x).to(device), torch.from_numpy(y).long().to(device)
    layers = [torch.nn.Linear(x.shape[1], hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, 10, bias=False)]
    network = torch.nn.Sequential(*layers).to(device)
    loss_of = torch.nn.functional.cross_entropy

    def loss(images: Any, labels: Any) -> Any:
        return loss_of(network(images), labels)

    loss = torch.compile(loss) if compiled else loss

    def run() -> float:
        total = torch.zeros((), device=device)
        for _ in range(members):
            for layer in (layers[0], layers[2]):
                layer.reset_parameters()
            optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=fused or None)
            for index in torch.randperm(len(y), device=device).split(BATCH):
                optimizer.zero_grad()
                value = loss(data[0][index], data[1][index])
                value.backward()
                optimizer.step()
                total += value.detach() * len(index)
        return float(total) / members / len(y)  # waits for the device

    return run


def batched(members: int, hidden: int, x: np.ndarray, y: np.ndarray) -> Callable[[], float]:
    """An epoch of all networks at once, by batched matrix products; each sees the samples in an order of its own."""
    torch, device = _torch()
    data = torch.from_numpy(x).to(device), torch.from_numpy(y).long().to(device)
    shapes = (members, x.shape[1], hidden), (members, 1, hidden), (members, hidden, 10)

    def run() -> float:
        first, bias, second = (torch.randn(shape, device=device) / shape[1] ** 0.5 for shape in shapes)
        params = [leaf.requires_grad_() for leaf in (first, torch.zeros_like(bias), second)]
        optimizer = torch.optim.Adam(params, lr=1e-3)
        orders = torch.rand(members, len(y), device=device).argsort(dim=1)
        total = torch.zeros((), device=device)
        for index in orders.split(BATCH, dim=1):
            optimizer.zero_grad()
            hidden_values = torch.relu(torch.baddbmm(params[1], data[0][index], params[0]))
            logits = torch.bmm(hidden_values, params[2])
            value = torch.nn.functional.cross_entropy(logits.flatten(0, 1), data[1][index].flatten(), reduction="sum")
            (value / index.shape[1]).backward()
            optimizer.step()
            total += value.detach()
        return float(total) / members / len(y)

    return run


def _torch() -> tuple[Any, str]:
    """PyTorch with the precision that JAX has by default, and the device."""
    torch: Any = __import__("torch")
    torch.backends.cuda.matmul.allow_tf32 = True
    return torch, "cuda" if torch.cuda.is_available() else "cpu"
