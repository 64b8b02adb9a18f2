"""Every form of targets, weights and masks that `fit` takes."""

from __future__ import annotations

from models.situations import Situation

SITUATIONS: dict[str, Situation] = {}
