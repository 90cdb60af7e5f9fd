"""Corruptions of images by severity, as scanners and handling make them: none is built in yet, plug-ins may register theirs."""
