"""The sections of the report, one file each: a function that registers itself in SECTIONS, and its template beside it."""
