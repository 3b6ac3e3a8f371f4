"""How often slices are flagged: the set's own, and those of series that the network was not trained on."""

from __future__ import annotations

from pathlib import Path

import torch
from monai.transforms import GaussianSmooth

from camlime.training.results import write_part


def study(bundle_root: str | Path, test, validation, series_dir: str | Path, docs_dir: str | Path) -> None:
    """Write ``domain.json``: flagged shares of both parts, of made-up kinds of test slices, and of DICOM series.

    Args:
        bundle_root: the bundle, with weights and domain file.
        test: loader of the test part.
        validation: loader of the validation part, which the threshold was set on.
        series_dir: folder with one folder a DICOM series; empty for none.
        docs_dir: the bundle's ``docs``.
    """
    from camlime import Bundle, Scan
    from camlime.domain import Domain, answers_and_features
    from camlime.pipeline import classifier_of
    from camlime.slices import classify_slices

    bundle = Bundle.load(bundle_root)
    domain, classifier = Domain.of(bundle), classifier_of(bundle, device="cpu")

    def flagged(images: torch.Tensor) -> float:
        return float(
            (domain.scores(answers_and_features(classifier, images, domain.layers)[1]) > domain.threshold).mean()
        )

    parts = {"validation": _images(validation), "test": _images(test)}
    path = Path(docs_dir) / "domain.json"
    write_part(path, "quantile", domain.quantile)
    write_part(path, "threshold", domain.threshold)
    write_part(path, "flagged_share", {name: flagged(images) for name, images in parts.items()})
    write_part(
        path,
        "flagged_share_of_changed_test",
        {name: flagged(change(parts["test"])) for name, change in CHANGES.items()},
    )
    series = {}
    for folder in sorted(Path(series_dir).iterdir()) if str(series_dir) else ():
        scan = Scan.read(folder)
        for plane in ("axial", "coronal", "sagittal"):
            found = classify_slices(scan, bundle, plane=plane, classifier=classifier)
            # By the score alone, whatever the header says: it is the score that is studied.
            within = [a.index for a in found.answers if a.score is not None and a.score <= domain.threshold]
            series[f"{folder.name}, {plane}"] = {
                "slices": len(found.answers),
                "flagged": len(found.answers) - len(within),
                "not_flagged": within,
                "scores": [round(answer.score, 1) if answer.score is not None else None for answer in found.answers],
                "warnings": list(found.warnings),
            }
    write_part(path, "series", series)


def _images(loader) -> torch.Tensor:
    return torch.cat([batch["image"].as_tensor() for batch in loader])


def _inverted(images: torch.Tensor) -> torch.Tensor:
    """The head's greys the other way round, air left dark: roughly the contrast of T2."""
    return torch.where(images > 0.08, 1.08 - images, images).clamp(0, 1)


def _smooth(images: torch.Tensor) -> torch.Tensor:
    return torch.stack([GaussianSmooth(sigma=4.0)(image) for image in images])


def _noise(images: torch.Tensor) -> torch.Tensor:
    return torch.rand(images.shape, generator=torch.Generator().manual_seed(0))


def _small(images: torch.Tensor) -> torch.Tensor:
    """A head of half the size, as a slice near the top of the skull has it."""
    half = torch.nn.functional.interpolate(images, scale_factor=0.5, mode="bilinear", antialias=True)
    margin = images.shape[-1] // 4
    return torch.nn.functional.pad(half, [margin] * 4)


CHANGES = {
    "empty": torch.zeros_like,
    "noise": _noise,
    "inverted": _inverted,
    "upside_down": lambda images: images.flip(-1),
    "half_the_size": _small,
    "blurred": _smooth,
}
