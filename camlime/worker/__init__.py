"""The engine in a process of its own, spoken with by JSON lines; see docs/worker.md.

``python -m camlime.worker`` is the worker, :mod:`camlime.worker.client` its client. Both import the standard library
alone; only :mod:`camlime.worker.engine`, a process that the worker starts, imports torch.
"""
