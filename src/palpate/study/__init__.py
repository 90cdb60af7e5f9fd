"""Studies: the plan of cells, the cells themselves, and the order in which they are made."""
