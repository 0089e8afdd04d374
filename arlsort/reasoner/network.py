# SPDX-License-Identifier: Apache-2.0
"""The reasoner: encode, process T - 1 steps with the soft hints fed back, decode.

The same computation, parameter tree and (where it draws any) random keys as
``clrs.models.BaselineModel`` with encoded and decoded hints, soft hints and no teacher forcing.
Outputs are decoded once, from each list's own last step, instead of at every step.
"""

from typing import NamedTuple

import haiku as hk
import jax
import jax.numpy as jnp

from arlsort.reasoner.config import ReasonerConfig
from arlsort.reasoner.decoders import Decoders, gumbel_noise, log_sinkhorn
from arlsort.reasoner.encoders import Encoders
from arlsort.reasoner.hints import initial_hints
from arlsort.reasoner.processor import make_processor

Array = jax.Array
Masks = dict[str, Array]


class Prediction(NamedTuple):
    """What the reasoner says.

    Attributes:
      pointers: ``[T - 1, b, n, n]`` logits of hint ``pred_h`` after each step.
      masks: logits ``[T - 1, b, n]`` of each mask hint.
      pred: ``[b, n, n]`` log weights of each element's cyclic predecessor, after Sinkhorn.
      pred_mask: ``[b, n]`` logits of being the first element.
    """

    pointers: Array
    masks: Masks
    pred: Array
    pred_mask: Array


class _Final(NamedTuple):
    """What the output decoders need of a list's last step."""

    nodes: Array  # [b, n, 3h]
    scalar: Array  # [b, n, n]
    new_edges: Array  # [b, n, n, h]
    noise: Array  # [b, n, n]


class _Carry(NamedTuple):
    pointers: Array  # logits
    masks: Masks  # logits
    hidden: Array
    final: _Final


class Reasoner(hk.Module):
    """The network as a Haiku module; its name is CLRS's, and with it the parameter tree."""

    def __init__(self, config: ReasonerConfig, name: str = "net"):
        super().__init__(name=name)
        self._config = config

    def __call__(
        self,
        keys: Array,
        pos: Array,
        *,
        lengths: Array | None = None,
        num_hints: int | None = None,
        start: tuple[Array, Masks] | None = None,
        noise: str | None = None,
        clrs_training: bool = False,
    ) -> Prediction:
        """Runs the sort on ``keys`` and ``pos``, both ``[b, n]``.

        Args:
          keys: scores.
          pos: increasing positions in [0, 1).
          lengths: ``[b]`` recorded states of each list, where they differ.
          num_hints: T; by default the most the algorithm can record for n keys.
          start: the first hints, where they are known; else computed from the keys.
          noise: law of the perturbation the first hints are averaged over; None for none.
          clrs_training: draw the random keys that CLRS's training draws, and add its Gumbel noise
            to the output pointer.
        """
        config = self._config
        b, n = keys.shape
        num_hints = config.spec.num_hints(n) if num_hints is None else num_hints
        steps = max(1, num_hints - 1)
        lengths = jnp.full(b, num_hints) if lengths is None else lengths
        encoders, decoders = self._construct_encoders_decoders()
        processor = make_processor(config)
        inputs = encoders.nodes({"pos": pos, "key": keys})

        def step(pointers: Array, masks: Masks, hidden: Array) -> _Carry:
            edges = encoders.edges(pointers)
            nodes = inputs + encoders.nodes(masks)
            new_hidden, new_edges = processor(nodes, edges, hidden)
            drawn = jnp.zeros((b, n, n), keys.dtype)
            if clrs_training:
                hk.next_rng_key()  # CLRS draws one for dropout, even at rate zero
                drawn = gumbel_noise((b, n, n))
            features = jnp.concatenate([nodes, hidden, new_hidden], axis=-1)
            pointer_logits, mask_logits = decoders.hints(features, edges, new_edges)
            final = _Final(features, pointers, new_edges, drawn)
            return _Carry(pointer_logits, mask_logits, new_hidden, final)

        def scan_step(carry: _Carry, i: Array) -> tuple[_Carry, tuple[Array, Masks]]:
            if clrs_training:
                hk.next_rng_key()  # and one for teacher forcing, even at probability zero
            pointers = jax.nn.softmax(carry.pointers, axis=-1)
            masks = {name: jax.nn.softmax(m, axis=-1) for name, m in carry.masks.items()}
            new = step(pointers, masks, carry.hidden)
            running = lengths > i + 1

            def keep(old: Array, new: Array) -> Array:
                return jnp.where(jnp.expand_dims(running, range(1, new.ndim)), new, old)

            final = jax.tree.map(keep, carry.final, new.final)
            return new._replace(final=final), (new.pointers, new.masks)

        first = step(
            *(initial_hints(config.algorithm, keys, noise) if start is None else start),
            jnp.zeros((b, n, config.hidden_size), keys.dtype),
        )
        last, tail = hk.scan(scan_step, first, jnp.arange(1, steps))
        pointers, masks = jax.tree.map(
            lambda head, rest: jnp.concatenate([head[None], rest]),
            (first.pointers, first.masks),
            tail,
        )
        edges = encoders.edges(last.final.scalar)
        pred, pred_mask = decoders.outputs(last.final.nodes, edges, last.final.new_edges)
        pred = log_sinkhorn(
            pred + last.final.noise, config.sinkhorn_steps, config.sinkhorn_temperature
        )
        return Prediction(pointers, masks, pred, pred_mask)

    def _construct_encoders_decoders(self) -> tuple[Encoders, Decoders]:
        # Haiku puts the method's name into the parameters' names, so this name is CLRS's.
        size, mask_hints = self._config.hidden_size, self._config.spec.mask_hints
        return Encoders(size, mask_hints), Decoders(size, mask_hints)


def transform(config: ReasonerConfig) -> hk.Transformed:
    """The network as two pure functions, ``init(rng, keys, pos)`` and ``apply(params, rng, ...)``.

    Example:
      >>> import jax, jax.numpy as jnp
      >>> net = transform(ReasonerConfig(hidden_size=8))
      >>> keys = jnp.array([[0.3, 0.1, 0.2]])
      >>> pos = jnp.arange(3.0)[None] / 3
      >>> params = net.init(jax.random.key(0), keys, pos)
      >>> net.apply(params, None, keys, pos).pred.shape
      (1, 3, 3)
    """
    return hk.transform(lambda *args, **kwargs: Reasoner(config)(*args, **kwargs))
