"""Maps of what a model looks at."""
