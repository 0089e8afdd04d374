# SPDX-License-Identifier: Apache-2.0
"""A sort of arlsort inside a PyTorch model: tensors cross over by DLPack, gradients come back."""

import jax
import jax.numpy as jnp
import torch

import arlsort

OPERATOR = arlsort.AmortizedSort()


@jax.jit
def forward(x: jax.Array) -> jax.Array:
    """The function that PyTorch calls."""
    return arlsort.sort(x, OPERATOR)


@jax.jit
def backward(x: jax.Array, cotangent: jax.Array) -> jax.Array:
    """Its vector-Jacobian product."""
    return jax.vjp(forward, x)[1](cotangent)[0]


def to_jax(x: torch.Tensor) -> jax.Array:
    """Shares the memory, if the tensor is contiguous."""
    return jnp.from_dlpack(x.detach().contiguous())


class SoftSort(torch.autograd.Function):
    """`SoftSort.apply(x)` sorts the last axis of a float tensor."""

    @staticmethod
    def forward(ctx, x: torch.Tensor) -> torch.Tensor:
        """Soft values."""
        ctx.save_for_backward(x)
        return torch.from_dlpack(forward(to_jax(x)))

    @staticmethod
    def backward(ctx, cotangent: torch.Tensor) -> torch.Tensor:
        """The gradient by x."""
        (x,) = ctx.saved_tensors
        return torch.from_dlpack(backward(to_jax(x), to_jax(cotangent)))


def main(steps: int = 100) -> tuple[float, float]:
    """Moves numbers until their third smallest is 2; returns it before and after."""
    x = torch.tensor([3.0, -1.0, 0.5, 0.0, 1.5], requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=0.1)
    before = SoftSort.apply(x)[2].item()
    for _ in range(steps):
        optimizer.zero_grad()
        ((SoftSort.apply(x)[2] - 2.0) ** 2).backward()
        optimizer.step()
    return before, SoftSort.apply(x)[2].item()


if __name__ == "__main__":
    print("third smallest: {:.2f}, after training {:.2f}".format(*main()))
