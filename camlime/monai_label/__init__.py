"""A MONAI Label server whose tasks explain: evidence levels in the viewers that people use, doubtful studies first.

What needs the package monailabel is imported where it is used: ``serving.py`` and what that imports.
"""
