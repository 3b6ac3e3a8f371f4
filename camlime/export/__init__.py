"""An explanation handed on in other formats: one sub-package a format."""
