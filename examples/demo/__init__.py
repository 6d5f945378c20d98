"""The main job on the bundled `fashion` generator: build banks, draw by every recipe, measure what came out."""
