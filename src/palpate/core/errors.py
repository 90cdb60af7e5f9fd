"""The exceptions that mean "what you gave cannot be used", so that the command line can print them without a traceback.

Any other exception is a defect of palpate's and keeps its traceback.
"""

MOST_CHARACTERS = 4000
"""Of a message: what a file holds may be quoted in it, and a file may hold anything."""


class InputError(ValueError):
    """A mistake in the input: the message names the argument or file, what was allowed, what was given and the remedy."""

    def __init__(self, message: str):
        super().__init__(readable(message))


class Damaged(InputError):
    """A file of a run folder that is not as it was written: absent, cut short or changed."""


class DiskFull(InputError):
    """The disk has no room left: what was being made is dropped, what is complete is kept, and nothing else can be made."""


def readable(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""A text from outside as a terminal may show it: the middle of a long one left out, control characters written as escapes.

    >>> readable("a\x1b[2Jb"), readable("0123456789" * 3, 10)
    ('a\\x1b[2Jb', '0123456… (20 characters left out) …789')
    """
    if len(text) > most:
        end = most * 3 // 10
        text = f"{text[: most - end]}… ({len(text) - most} characters left out) …{text[-end:]}"
    return "".join(c if c.isprintable() or c in "\n\t" else repr(c)[1:-1] for c in text)
