"""Masks and the operations on them: RLE, IoU, NMS, connected components, resizing, polygons, drawing."""
