"""What a table of rows can honestly say: intervals, curves, paired comparisons and operating points, without torch."""
