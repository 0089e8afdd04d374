# SPDX-License-Identifier: Apache-2.0
"""CLRS's own model, as the parity tests use it."""

import clrs

HIDDEN = 16


def baseline_model(spec, feedback, checkpoint_path="", seed=1):
    """CLRS's model, with soft hints fed back and a triplet-MPNN, initialised."""
    model = clrs.models.BaselineModel(
        spec=spec,
        dummy_trajectory=feedback,
        processor_factory=clrs.get_processor_factory(
            "triplet_mpnn", use_ln=True, nb_triplet_fts=8, nb_heads=1
        ),
        hidden_dim=HIDDEN,
        encode_hints=True,
        decode_hints=True,
        hint_teacher_forcing=0.0,
        hint_repred_mode="soft",
        learning_rate=1e-3,
        checkpoint_path=str(checkpoint_path),
    )
    model.init(feedback.features, seed)
    return model
