"""The 3D Slicer module's own code: panel, worker session, inputs, display.

Nothing here imports torch or the engine's heavy parts: those run in the worker's process.
"""

from SlicerXAILib.places import make_engine_importable

make_engine_importable()
