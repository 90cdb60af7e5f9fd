"""Corruptions of images by severity, as scanners and handling make them, and the search for the smallest one that changes a class."""
