"""What the trainings of bundles share: parts of engines, weights as shipped, statistics, results and plots.

For the scripts and configs of bundles' trainings and evaluations, which need the extra ``train``; a bundle's inference
and the rest of camlime need nothing from here. See docs/training.md.
"""
