"""Classifiers: normalisation, a backbone, optional soft attention and a head, so that attacks and explanations see one shape."""
