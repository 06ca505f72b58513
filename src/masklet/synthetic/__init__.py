"""Data for training and evaluation.

readers     data sets of the field and your own, as pictures and clips with true masks
packs       raw material with its licences, gathered from packages into one folder
rendering   the packs' textured meshes as sprites
engine      pictures and clips without end, composed from packs
"""
