"""Readers: one publisher's folder in, one manifest out, and the tasks made from it.

A new data set is one new file here (or in a plug-in) that ends with `TASKS.add(name, Task(…))`.
"""
