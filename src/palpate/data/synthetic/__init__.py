"""Synthetic images: one file per kind of picture and one of shared brushes.

They are apart from `palpate.data.synthetic.generate`, which numbers, labels and groups the pictures, so that a kind is drawn and read in one file.
"""
