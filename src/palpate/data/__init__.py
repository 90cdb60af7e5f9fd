"""Images: folders and files in, a manifest, a split and a memory-mapped store out.

The first of the three worlds: only `dataset.py` hands tensors on, so everything else here works without torch.
"""
