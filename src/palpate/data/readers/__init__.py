"""Readers: one publisher's folder in, one manifest out, nothing else.

A new data set is one function here and one line in `palpate.data.tasks.TASKS`.
"""
