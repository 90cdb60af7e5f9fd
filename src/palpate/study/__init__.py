"""Studies: the plan of stages, the stages themselves, and the order in which they are made."""
