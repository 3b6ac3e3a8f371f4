"""For those who make bundles: what the engine understood of one, its explain.json, its evidence card."""

from camlime.authoring.card import write_card
from camlime.authoring.explain_config import add_explain
from camlime.authoring.understanding import Understanding, understand

__all__ = ["Understanding", "add_explain", "understand", "write_card"]
