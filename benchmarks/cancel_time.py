"""How long the worker takes to answer a cancel, at every stage of an explanation, and what it keeps.

A request is cancelled as soon as its stage begins. Bundle and scan are copied for each, so that nothing is warm::

    python benchmarks/cancel_time.py --scan chest_ct/ --point -60 20 -110
    python benchmarks/cancel_time.py --repeats 5 --json
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

from camlime.bundle import shipped_bundles
from camlime.phantom import chest_ct_nodule
from camlime.scan import save_volume
from camlime.worker.client import Event, WorkerClient

GOAL = 1.0
"""Seconds."""

STAGES = ("starting", "loading", "reading", "preparing", "measuring", "regions", "lime", "fused", "evidence")
FINAL = {"result", "error", "cancelled"}


def phantom(folder: Path) -> tuple[Path, list[float]]:
    """A chest with a nodule, written to a file, and where the nodule is."""
    scan, point, _ = chest_ct_nodule()
    return save_volume(folder / "chest.nii.gz", scan.image[0].numpy(), scan.affine), [float(x) for x in point]


def next_of(client: WorkerClient, name: str) -> Event:
    while True:
        event = client.wait(120)
        if event is None:
            raise TimeoutError(client.log())
        if event.get("id") == name:
            return event


def cancelled_at(client: WorkerClient, stage: str, request: dict[str, Any]) -> tuple[float, str]:
    """Seconds from cancel to the last event, and what that was."""
    name = client.send("explain", **request)
    while (event := next_of(client, name)).get("stage") != stage:
        if event["event"] in FINAL:
            raise RuntimeError(f"{stage}: it ended before: {event}")
    start = time.perf_counter()
    client.cancel(name)
    while (event := next_of(client, name))["event"] not in FINAL:
        pass
    return time.perf_counter() - start, event.get("kept", event["event"])


def measure(scan: Path, point: list[float], bundle: Path, repeats: int, folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    client: WorkerClient | None = None
    for stage in STAGES:
        answers: list[tuple[float, str]] = []
        for repeat in range(repeats):
            if client is None or stage == "starting":
                if client is not None:
                    client.kill()
                client = WorkerClient()
                client.start()
            own = folder / f"{stage}-{repeat}"
            copy = shutil.copytree if scan.is_dir() else shutil.copy
            fresh = {"bundle": own / "bundle", "scan": own / scan.name}
            shutil.copytree(bundle, fresh["bundle"])
            copy(scan, fresh["scan"])
            request = {**fresh, "point": point, "folder": own / "out", "device": "auto"}
            answers.append(cancelled_at(client, stage, request))
        seconds = [second for second, _ in answers]
        kept = ", ".join(sorted({kept for _, kept in answers}))
        rows.append({"stage": stage, "longest_s": max(seconds), "kept": kept, "within": max(seconds) < GOAL})
    if client is not None:
        client.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scan", type=Path, help="a phantom if left out")
    parser.add_argument("--point", type=float, nargs=3, metavar=("R", "A", "S"))
    parser.add_argument("--bundle", default="lung_nodule_ct")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scan, point = arguments.scan, arguments.point
        if scan is None:
            scan, point = phantom(folder)
        bundle = shipped_bundles().get(arguments.bundle, Path(arguments.bundle))
        rows = measure(scan.resolve(), point, bundle, arguments.repeats, folder)
    if arguments.json:
        print(json.dumps({"machine": platform.processor() or platform.machine(), "rows": rows}, indent=2))
        return
    print(f"| stage | longest of {arguments.repeats}, s | kept |\n|---|---:|---|")
    for row in rows:
        print(f"| {row['stage']} | {row['longest_s']:.2f} | {row['kept']} |")


if __name__ == "__main__":
    main()
