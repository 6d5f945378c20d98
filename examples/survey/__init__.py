"""Figures of the survey "On the Geometry of Deep Learning" (arXiv 2408.04809), made again by this package.

`python -m examples.survey.figure_3 --out build/survey/figure_3.png` writes one of them, `python -m examples.survey`
all. Everything is computed on networks that are initialised or trained here in seconds, on data made here; nothing is
downloaded. Each module says what of the survey's figure it makes and what differs. `docs/survey.md` shows them.
"""
