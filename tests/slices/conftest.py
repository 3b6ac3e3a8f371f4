"""The bundles and the volume that the tests of slices share."""

from __future__ import annotations

import pytest
from support.blob_bundle import write_blob_bundle
from support.slice_cases import DIRECTIONS, SIZE, STEPS, lesion_volume, write_slice_bundle

from camlime.bundle import Bundle
from camlime.scan import save_volume


@pytest.fixture(scope="session")
def bundle_path(tmp_path_factory):
    return write_slice_bundle(tmp_path_factory.mktemp("bundle") / "slices")


@pytest.fixture(scope="session")
def bundle(bundle_path):
    return Bundle.load(bundle_path)


@pytest.fixture(scope="session")
def trusting_bundle(tmp_path_factory):
    """Knows nothing of its training data, so that nothing is flagged."""
    settings = {"slices": {"axial": "LP", "coronal": "LI", "sagittal": "PI"}}
    path = tmp_path_factory.mktemp("bundle") / "trusting"
    return Bundle.load(write_blob_bundle(path, (SIZE, SIZE), steps=STEPS, explain=settings))


@pytest.fixture(scope="session")
def volume_file(tmp_path_factory):
    scan = lesion_volume(DIRECTIONS["oblique"])
    return save_volume(tmp_path_factory.mktemp("scan") / "head.nii.gz", scan.image[0].numpy(), scan.affine)
