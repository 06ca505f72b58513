"""Stacks for tests: a bright ball that moves through dark slices, as TIFF, NIfTI and DICOM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = (26, 37)  # neither side nor their product is a multiple of 8
COUNT = 6


def draw_ball() -> NDArray[np.bool_]:
    """The masks (COUNT, H, W) of the ball."""
    z, y, x = np.ogrid[:COUNT, : SIZE[0], : SIZE[1]]
    return np.asarray((y - 12) ** 2 + (x - 14 - 2 * z) ** 2 <= 49)


def draw_volume() -> NDArray[np.int16]:
    """Slices (COUNT, H, W) of 12 bits: 300 in the ball, −700 around it, with a gradient."""
    gradient = np.arange(SIZE[1], dtype=np.int16)
    return np.where(draw_ball(), np.int16(300), np.int16(-700)) + gradient


def write_tiff(path: Path, **settings: Any) -> Path:
    """Write the volume, as unsigned numbers, as a stack of ImageJ with pixels of 0.3 × 0.4 × 2 µm."""
    import tifffile

    values = (draw_volume() + 1000).astype(np.uint16)
    given: dict[str, Any] = {
        "imagej": True,
        "resolution": (1 / 0.3, 1 / 0.4),
        "metadata": {"axes": "ZYX", "spacing": 2.0, "unit": "um"},
    }
    tifffile.imwrite(path, values, **(given | settings))
    return path


AFFINE = np.array([[-0.7, 0, 0, 10.0], [0, 0.8, 0.1, -20.0], [0, 0, 2.5, 30.0], [0, 0, 0, 1]])


def write_nifti(path: Path) -> Path:
    """Write the volume with an oblique affine, in millimetres."""
    import nibabel

    image = nibabel.Nifti1Image(draw_volume().transpose(2, 1, 0), AFFINE)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)
    return path


def write_series(folder: Path, **settings: Any) -> Path:
    """Write the volume as a CT series, the files named in the reverse order of their positions."""
    from pydicom import Dataset, dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(parents=True, exist_ok=True)
    for index, values in enumerate(draw_volume()):
        file = Dataset()
        file.file_meta = FileMetaDataset()
        file.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, f"1.2.826.0.1.3680043.8.498.5.{index + 1}"
        file.StudyInstanceUID, file.SeriesInstanceUID = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.2"
        file.FrameOfReferenceUID, file.Modality, file.SeriesNumber = "1.2.826.0.1.3680043.8.498.3", "CT", 4
        file.PatientName, file.PatientID, file.StudyID = "Doe^Jo", "17", "S1"
        file.PatientBirthDate = file.PatientSex = file.StudyDate = file.StudyTime = ""
        file.AccessionNumber = file.ReferringPhysicianName = ""
        file.InstanceNumber = COUNT - index
        file.ImagePositionPatient = [1.0, 2.0, 10.0 + 2.5 * index]
        file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        file.PixelSpacing, file.SliceThickness = [0.8, 0.7], 2.5
        file.Rows, file.Columns = SIZE
        file.SamplesPerPixel, file.PhotometricInterpretation, file.PixelRepresentation = 1, "MONOCHROME2", 0
        file.BitsAllocated, file.BitsStored, file.HighBit = 16, 12, 11
        file.RescaleSlope, file.RescaleIntercept = 1, -1024
        file.WindowCenter, file.WindowWidth = [40, 300], [400, 1500]
        file.PixelData = (values + 1024).astype("<u2").tobytes()
        for name, value in settings.items():
            if value is None:
                delattr(file, name)
            else:
                setattr(file, name, value)
        dcmwrite(folder / f"IM{COUNT - index:03d}", file, enforce_file_format=True)
    return folder
