"""The border: the only place where images, numerics and results meet, one file per kind of stage."""
