"""MONAI Label's datastores, made safe for several threads and for names that come from a network."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monailabel.datastore.dicom import DICOMWebDatastore, dicom_web_download_series
from monailabel.datastore.local import LocalDatastore
from monailabel.interfaces.exception import ImageNotFoundException

from camlime.monai_label.asked import checked_name
from camlime.monai_label.study import Study

_NAMED = {
    "get_image": ("image id",),
    "get_image_uri": ("image id",),
    "get_image_info": ("image id",),
    "get_label": ("image id", "tag"),
    "get_label_uri": ("image id", "tag"),
    "get_label_info": ("image id", "tag"),
    "get_labels_by_image_id": ("image id",),
    "remove_image": ("image id",),
    "remove_label": ("image id", "tag"),
    "update_image_info": ("image id",),
    "update_label_info": ("image id", "tag"),
}
"""Methods whose first arguments name a file, and what they are."""

_WHOLE = (
    "datalist", "get_dataset_archive", "get_labeled_images", "get_unlabeled_images", "json", "list_images", "refresh",
    "status", "_on_any_event", "_on_modify_event",
)  # fmt: skip
"""Other methods that read or change what is in memory; the last two run in the thread that watches the folder."""


class Guarded:
    """Comes before a datastore among the bases: one thread at a time, and no name that leads out of the folder.

    MONAI Label keeps all studies in one object that its handlers and its watcher change without a lock, and joins ids
    and tags to paths as they come.
    """

    def __init__(self, *args: Any, **settings: Any) -> None:
        self.guard = threading.RLock()
        super().__init__(*args, **settings)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """As MONAI Label's."""
        if image_id:
            checked_name(image_id, "image id")
        with self.guard:
            added: str = super().add_image(image_id, image_filename, image_info)  # type: ignore[misc]
            return added

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """As MONAI Label's."""
        checked_name(image_id, "image id")
        checked_name(_text(label_tag), "tag")
        with self.guard:
            saved: str = super().save_label(image_id, label_filename, label_tag, label_info)  # type: ignore[misc]
            return saved


def _text(tag: Any) -> str:
    return str(getattr(tag, "value", tag))


def _guarded(name: str, names: tuple[str, ...]) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **settings: Any) -> Any:
        for what, given in zip(names, args, strict=False):
            checked_name(_text(given), what)
        with self.guard:
            return getattr(super(Guarded, self), name)(*args, **settings)

    return method


for _name, _what in {**_NAMED, **dict.fromkeys(_WHOLE, ())}.items():
    setattr(Guarded, _name, _guarded(_name, _what))


class Folder(Guarded, LocalDatastore):
    """A folder of images. What it tells of a study leaves out where the server keeps it."""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """As MONAI Label's, without the path."""
        return {key: value for key, value in super().get_image_info(image_id).items() if key != "path"}

    def study(self, image_id: str) -> Study:
        """The study of an id.

        Raises:
            ImageNotFoundException: there is none.
        """
        path = self.get_image_uri(image_id)
        if not path:
            raise ImageNotFoundException(f"there is no study '{image_id}'")
        return Study(image_id, Path(path), Path(path), self.get_image_info(image_id))


class Archive(Guarded, DICOMWebDatastore):
    """A DICOMweb server. Explanations read its DICOM files; viewers get the NIfTI that MONAI Label makes of them."""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """As MONAI Label's, without the path."""
        return {key: value for key, value in super().get_image_info(image_id).items() if key != "path"}

    def get_image_uri(self, image_id: str) -> str:
        """The NIfTI of a series, fetched if need be: whole, or not at all.

        Raises:
            ImageNotFoundException: the server has no such series among those that it was asked for.
        """
        with self.guard:
            folder = self._fetched(checked_name(image_id, "image id"))
            if not folder.is_dir():
                if image_id not in self.list_images():
                    raise ImageNotFoundException(f"there is no study '{image_id}'")
                part = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent))
                try:
                    dicom_web_download_series(None, image_id, str(part), self._client, self._fetch_by_frame)
                    part.rename(folder)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
            uri: str = super().get_image_uri(image_id)
            return uri

    def study(self, image_id: str) -> Study:
        """The study of a series UID; errors as :meth:`get_image_uri`."""
        shown = Path(self.get_image_uri(image_id))
        return Study(image_id, self._fetched(image_id), shown, self.get_image_info(image_id))

    def _fetched(self, image_id: str) -> Path:
        return Path(self._datastore.image_path()).resolve() / image_id
