"""One explanation in the MRML scene: all of its nodes, kept together, found again after the scene was saved and loaded.

The hub is a ``vtkMRMLScriptedModuleNode`` (module ``SlicerXAI``) that refers to every other node by role and holds the
words; put it into the parameter node. Everything else follows from it:

    explanation = SceneExplanation.begin(input_node, "Why malignant?")
    explanation.update(Preview.from_event(event))      # as often as previews come
    explanation.complete(Result.from_event(event))     # the last word
    explanation.look = replace(explanation.look, opacity=0.4)
    explanation.remove()

Maps lie on the network's own grid; nothing is resampled to be shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from SlicerXAILib.look import Look, MapChoice
from SlicerXAILib.result import Preview, Result


class SceneExplanation:
    """The nodes of one explanation; a thin handle, any number of which may stand for the same hub.

    Args:
        hub: the scripted module node that :meth:`begin` made.
    """

    def __init__(self, hub: Any) -> None:
        self.hub = hub

    # -- life ---------------------------------------------------------------------------------------------------------

    @classmethod
    def begin(cls, input_node: Any, title: str) -> SceneExplanation:
        """Make the hub and a subject-hierarchy folder named ``title`` beside the input.

        Args:
            input_node: the volume node that is explained; its scene is used.
            title: the folder's name.
        """
        raise NotImplementedError

    @classmethod
    def all_in(cls, scene: Any) -> list[SceneExplanation]:
        """Every explanation in a scene, in the order of their hubs."""
        raise NotImplementedError

    @classmethod
    def of(cls, input_node: Any) -> list[SceneExplanation]:
        """Every explanation of this volume."""
        raise NotImplementedError

    def update(self, preview: Preview) -> None:
        """Show a map while it is being made: its node is made the first time and updated in place after that.

        The first map ever is shown at once with the default look; later ones change the look only if they are better
        (fused before lime before the others) and the user has not chosen a map.
        """
        raise NotImplementedError

    def complete(self, result: Result) -> None:
        """Put everything into the scene: maps, deviations, agreement, segments, tables, chart and words.

        Nodes that previews made are updated in place; maps that the result does not have go.
        """
        raise NotImplementedError

    def remove(self) -> None:
        """Remove every node of this explanation, its folder, and colour nodes that no other one uses."""
        raise NotImplementedError

    @property
    def alive(self) -> bool:
        """Whether the hub is still in a scene: the user may delete nodes, or close the scene."""
        raise NotImplementedError

    # -- what there is ------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """Of the folder."""
        raise NotImplementedError

    @property
    def input_node(self) -> Any | None:
        """The volume that was explained; ``None`` if the user deleted it."""
        raise NotImplementedError

    @property
    def summary(self) -> dict[str, Any]:
        """Words and numbers for the panel, which survive saving and loading the scene.

        Keys: ``explained_class``, ``prediction`` (``class``, ``probabilities``), ``lead``, ``complete``, ``agreement``
        (``badge``, ``in_words``, ``in_numbers``, or ``None``), ``evidence`` (by map key: ``supported``, ``verdict``,
        ``in_words``), ``warnings``, ``strongest_point_ras``, ``legend`` (rows ``key``, ``name``, ``meaning``,
        ``colour``, ``volume_ml``), ``provenance``. Empty before :meth:`complete`.
        """
        raise NotImplementedError

    def choices(self) -> list[MapChoice]:
        """Entries of the map selector, in the order to list them."""
        raise NotImplementedError

    def supported(self, key: str) -> bool | None:
        """Whether the model was seen to use what this map shows; ``None``: not judged."""
        raise NotImplementedError

    def volume(self, key: str) -> Any | None:
        """The volume node of a map (key of :class:`MapChoice`)."""
        raise NotImplementedError

    def segmentation(self, which: str) -> Any | None:
        """The segmentation node ``"evidence"`` (strong for, moderate for, against) or ``"agreement"``."""
        raise NotImplementedError

    def table(self, which: str) -> Any | None:
        """The table node ``"prediction"``, ``"regions"`` or ``"segments"``; see :mod:`SlicerXAILib.tables`."""
        raise NotImplementedError

    def chart(self) -> Any | None:
        """The plot chart node with the removal curves; ``None`` without evidence."""
        raise NotImplementedError

    # -- how it is shown ----------------------------------------------------------------------------------------------

    @property
    def look(self) -> Look:
        """What is shown and how; setting it changes the views at once. Kept in the scene."""
        raise NotImplementedError

    @look.setter
    def look(self, look: Look) -> None:
        raise NotImplementedError

    def jump_to_region(self, region_id: int) -> None:
        """Centre all slice views on a region, through the input's parent transforms."""
        raise NotImplementedError

    def jump_to_strongest(self) -> None:
        """Centre all slice views on the place that speaks most for the class."""
        raise NotImplementedError


class Following:
    """Keeps explanations where their inputs are: observes a scene until :meth:`stop`.

    When an input gets another parent transform, or its own geometry is changed (a transform is hardened, the volume is
    centred), the nodes of its explanations get the same. Make one when the module is set up.

    Args:
        scene: which.
        on_change: called with no argument after explanations came or went with an import, a close or a deletion.
    """

    def __init__(self, scene: Any, on_change: Callable[[], None] | None = None) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """Observe nothing any more."""
        raise NotImplementedError
