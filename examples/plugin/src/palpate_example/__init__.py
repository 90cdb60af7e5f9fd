"""What this package adds to palpate, by name and by reference: nothing heavy is imported until it is used."""

from palpate.core import registry

palpate_interface = 1

registry.TASKS.add("example-stripes", "palpate_example.task:STRIPES")
registry.ATTACKS.add("example-momentum", "palpate_example.attack:Momentum")
registry.VERDICTS.add("example repeated images", "palpate_example.check:REPEATED_IMAGES")
registry.EXPLAINERS.add("example-gradient-times-input", "palpate_example.explainer:gradient_times_input")
registry.SECTIONS.add("example-smallest-changes", "palpate_example.section:smallest_changes")
