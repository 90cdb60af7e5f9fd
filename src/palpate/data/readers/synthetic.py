"""The synthetic tasks: nothing to read or to download, and the sign that makes the label is known."""

from functools import partial

from palpate.data.readers import add_tasks
from palpate.data.synthetic.generate import KINDS, generate

add_tasks(__file__, "generate", **{f"phantom_{kind}": partial(generate, kind) for kind in KINDS})
