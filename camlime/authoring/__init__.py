"""For those who make bundles: what the engine understood, explain.json, the evidence card, the randomisation record."""

from camlime.authoring.card import write_card
from camlime.authoring.explain_config import add_explain
from camlime.authoring.randomisation import write_record
from camlime.authoring.understanding import Understanding, understand

__all__ = ["Understanding", "add_explain", "understand", "write_card", "write_record"]
