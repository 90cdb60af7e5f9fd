"""The one exception that means "what you gave cannot be used", so that the command line can print it without a traceback.

Any other exception is a defect of palpate's and keeps its traceback.
"""


class InputError(ValueError):
    """A mistake in the input: the message names the argument or file, what was allowed, what was given and the remedy."""
