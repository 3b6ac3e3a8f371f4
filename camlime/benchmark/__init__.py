"""Methods side by side on a cohort: removal, localisation, agreement of seeds, error to the limit, time.

:func:`run_benchmark` puts every method through every case of a cohort (:func:`read_cohort`), on all cores or a Dask
cluster, goes on where it stopped, and writes tables, figures and a page. How it is run and read: ``docs/benchmark.md``.
"""

from camlime.benchmark.cohort import CohortCase, read_cohort
from camlime.benchmark.methods import chosen
from camlime.benchmark.run import run_benchmark
from camlime.benchmark.settings import BenchmarkSettings

__all__ = ["BenchmarkSettings", "CohortCase", "chosen", "read_cohort", "run_benchmark"]
