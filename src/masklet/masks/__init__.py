"""Masks and operations on them: RLE, IoU, NMS, connected components, resizing, polygons, drawing."""
