"""Stacks: TIFF stacks, NIfTI volumes and DICOM series as videos whose frames are slices."""
