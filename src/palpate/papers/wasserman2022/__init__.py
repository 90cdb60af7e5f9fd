"""The study of arXiv 2210.14405 as a plug-in."""
