"""The study of arXiv 2210.14405 as a plug-in: filter, task, networks, trainings, command. Nothing heavy is imported before it is used."""

from palpate.core.registry import COMMANDS, IMAGE_FILTERS, MODEL_SOURCES, RECIPES, TASKS

IMAGE_FILTERS.add("wasserman2022", "palpate.papers.wasserman2022.image_filter:chest")
IMAGE_FILTERS.add("wasserman2022-float32", "palpate.papers.wasserman2022.image_filter:chest_float32")
TASKS.add("chestxray14-wasserman2022", "palpate.papers.wasserman2022.tasks:CHEST")
MODEL_SOURCES.add("keras", "palpate.papers.wasserman2022.keras_networks:keras_network")
RECIPES.add("wasserman2022", "palpate.papers.wasserman2022.recipes:WASSERMAN")
RECIPES.add("wasserman2022-skin", "palpate.papers.wasserman2022.recipes:WASSERMAN_SKIN")
RECIPES.add("datta2021", "palpate.papers.wasserman2022.recipes:DATTA")
COMMANDS.add("paper", "palpate.papers.wasserman2022.command:paper")
