"""MONAI bundles: configs screened, then resolved; weights read without running code."""

from camlime.bundle.activation import Activation, flatten_output
from camlime.bundle.bundle import Bundle
from camlime.bundle.model_input import ModelInput
from camlime.bundle.settings import ExplainSettings, NamedOptions
from camlime.bundle.shipped import shipped_bundles

__all__ = ["Activation", "Bundle", "ExplainSettings", "ModelInput", "NamedOptions", "flatten_output", "shipped_bundles"]
