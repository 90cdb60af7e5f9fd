"""Intervals, curves, paired comparisons and operating points from tables of rows, without torch."""
