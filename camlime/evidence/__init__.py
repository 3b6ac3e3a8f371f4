"""Evidence on the case at hand: did the model use what a map shows?

A map is held against the model itself: voxels are removed in the map's order and the class's log-odds followed
(:mod:`~camlime.evidence.curves`), the same is done with maps that know nothing (:mod:`~camlime.evidence.controls`), the
map is made again on a network that has learned nothing (:mod:`~camlime.evidence.randomisation`) and with another seed
(:mod:`~camlime.evidence.repeatability`). :func:`measure` does all of it for one map within a budget of passes,
:class:`Examination` for several that share what they can.
"""

from camlime.evidence.baselines import scoring_baselines
from camlime.evidence.plan import Plan
from camlime.evidence.records import Evidence
from camlime.evidence.summary import Examination, Remake, measure

__all__ = ["Evidence", "Examination", "Plan", "Remake", "measure", "scoring_baselines"]
