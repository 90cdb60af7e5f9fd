"""Classifiers: normalisation, a backbone, optional soft attention and a head, so that attacks and explanations see one shape.

Public names live in the modules: `classifier` (build, wrap), `weights` (save and load), `parameters` (the exact counts).
"""
