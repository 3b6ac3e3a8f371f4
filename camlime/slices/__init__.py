"""A 2D bundle on a volume: slice by slice in a plane, each with its place and with how unlike the training it is.

There is no answer for the whole volume: what a 2D classifier says of slices is not what it would say of a patient.
"""

from camlime.slices.answers import SliceAnswer, SliceAnswers, classify_slices
from camlime.slices.explaining import SliceExplanations, explain_slices
from camlime.slices.stack import SliceStack, cut

__all__ = ["SliceAnswer", "SliceAnswers", "SliceExplanations", "SliceStack", "classify_slices", "cut", "explain_slices"]
