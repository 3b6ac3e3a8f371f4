"""Where the time of an explanation goes: cold, in a new process, and warm, a second one in the same process.

    python benchmarks/explain_time.py --json explain_time.json

The demo's phantom is explained with a shipped bundle at its default budget. "Cold" is a new Python process from its
start to the files on disk; within it each stage is timed. "Warm" repeats reading, explaining and saving with the bundle
already loaded. Maps on random networks are not kept, so that the second run is like that of another case.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["CAMLIME_CACHE"] = "off"


class Stages:
    """Seconds by stage, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, name: str) -> None:
        """The stage that began when the last one ended is over."""
        now = time.perf_counter()
        self.seconds[name] = now - self._last
        self._last = now


def explain_once(scan: Path, bundle: object, point: tuple[float, ...], folder: Path, device: str) -> dict[str, float]:
    import camlime

    stages = Stages()
    read = camlime.Scan.read(scan)
    stages.done("read scan")
    explanation = camlime.explain(read, bundle, point=point, device=device)
    total = time.perf_counter() - stages._last
    for name, attribution in explanation.attributions.items():
        stages.seconds[name] = attribution.seconds
    stages.done("explain")
    stages.seconds["evidence"] = sum(evidence.seconds for evidence in explanation.evidence.values())
    known = stages.seconds["evidence"] + sum(a.seconds for a in explanation.attributions.values())
    stages.seconds["preprocessing, regions, batch size"] = total - known
    del stages.seconds["explain"]
    explanation.save(folder)
    stages.done("save, with picture")
    return stages.seconds


def measure(scan: Path, bundle_name: str, point: tuple[float, ...], device: str) -> dict[str, dict[str, float]]:
    stages = Stages()
    import camlime
    from camlime import pipeline  # noqa: F401 - loads torch and MONAI

    stages.done("import")
    bundle = camlime.Bundle.load(bundle_name)
    stages.done("load bundle")
    with tempfile.TemporaryDirectory() as folder:
        cold = {**stages.seconds, **explain_once(scan, bundle, point, Path(folder), device)}
        warm = explain_once(scan, bundle, point, Path(folder), device)
    return {"cold": cold, "warm": warm}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="lung_nodule_ct")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--point", type=float, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scan is not None:
        print(json.dumps(measure(options.scan, options.bundle, tuple(options.point), options.device)))
        return

    from camlime.phantom import chest_ct_nodule
    from camlime.scan import save_volume

    with tempfile.TemporaryDirectory() as folder:
        scan, centre, _ = chest_ct_nodule(0)
        path = save_volume(Path(folder) / "scan.nii.gz", scan.image[0].numpy().astype("int16"), scan.affine)
        command = [
            sys.executable,
            __file__,
            "--bundle",
            options.bundle,
            "--device",
            options.device,
            "--scan",
            str(path),
        ]
        start = time.perf_counter()
        run = subprocess.run([*command, "--point", *map(str, centre)], check=True, capture_output=True, text=True)
        total = time.perf_counter() - start
    figures = json.loads(run.stdout.strip().splitlines()[-1])
    figures["process, both runs"] = total
    names = list(dict.fromkeys([*figures["cold"], *figures["warm"]]))
    print(f"{'stage':38s} {'cold s':>8s} {'warm s':>8s}")
    for name in names:
        print(f"{name:38s} {figures['cold'].get(name, 0):8.2f} {figures['warm'].get(name, 0):8.2f}")
    print(f"{'sum':38s} {sum(figures['cold'].values()):8.2f} {sum(figures['warm'].values()):8.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
