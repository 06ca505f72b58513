"""A newcomer labels ten images and a clip in the studio, following the guide studio.md.

Written from `docs/studio.md` alone by a reader who had not seen the program, and kept as it was.
"""

import io
import json
import re
import time
from pathlib import Path

import av
import numpy as np
from PIL import Image
from playwright.sync_api import expect

WAIT = 60_000  # milliseconds

# The middle of the page at 1280 x 720, from the pictures of the guide: between the list on the left and the right side,
# below the buttons and above the bottom line (or, for a video, above the line with the field "Frame").
LEFT, TOP, RIGHT, BOTTOM = 224, 44, 992, 696
AWAY = (640, 709)  # in the bottom line: a place for the pointer where it shows no preview in the image

CLASSES = ["fish", "cat", "cup", "rocket", "car", "meadow", "rock"]  # get the digits 1 to 7

# Places in the images as fractions of width and height: (x, y) is a click, (x1, y1, x2, y2) a box.
PROMPTS = {
    "00_fish.png": [(0.50, 0.47)],
    "01_cat.png": [(0.50, 0.30), (0.40, 0.62)],
    "02_cup.png": [(0.48, 0.40), (0.43, 0.56)],
    "03_rocket.png": [(0.505, 0.45)],
    "04_fish.png": [(0.55, 0.47)],
    "05_cat.png": [(0.50, 0.30), (0.62, 0.62)],
    "06_cup.png": [(0.31, 0.03, 0.72, 0.62)],
    "07_rocket.png": [(0.495, 0.50)],
    "08_fish.png": [(0.11, 0.13, 0.95, 0.76)],
    "09_cup.png": [(0.50, 0.37), (0.45, 0.53)],
}

FIRST, MIDDLE, LAST = 10, 14, 18  # frames of the clip: prompted, corrected, the last one that is tracked
IN_CLIP = {  # on frame 10
    "car": (0.03, 0.44, 0.62, 0.70),
    "meadow": (0.50, 0.90),
    "rock": (0.21, 0.16),
}


# What a person sees


def text(page, pattern):
    """Everything visible on the page (or in a part of it) whose text has the pattern."""
    return page.get_by_text(re.compile(pattern, re.IGNORECASE)).filter(visible=True)


def see(page, pattern):
    expect(text(page, pattern).first).to_be_visible(timeout=WAIT)


def gone(page, pattern):
    expect(text(page, pattern)).to_have_count(0, timeout=WAIT)


MASK = r"prompted, score"  # beside "Mask" under "Selected object"


def until(page, what, condition):
    """Look again and again until something is true of the screen."""
    end = time.monotonic() + WAIT / 1000
    while True:
        result = condition()
        if result is not None and result is not False:
            return result
        assert time.monotonic() < end, f"not seen after {WAIT // 1000} s: {what}"
        page.wait_for_timeout(300)


def screen(page):
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def frame_field(page):
    return page.get_by_role("spinbutton", name="Frame").or_(page.get_by_role("textbox", name="Frame")).first


def place(page, size):
    """Where an image of this size is on the screen: it is as large as fits into the middle."""
    bottom = BOTTOM
    if frame_field(page).is_visible():  # a video: the middle ends above the buttons and the timeline
        bottom = frame_field(page).bounding_box()["y"] - 6
    scale = min((RIGHT - LEFT) / size[0], (bottom - TOP) / size[1])
    width, height = size[0] * scale, size[1] * scale
    return (LEFT + RIGHT - width) / 2, (TOP + bottom - height) / 2, width, height


def wait_for_picture(page, picture):
    """Wait until the middle shows this picture (without masks), as large as fits."""
    page.mouse.move(*AWAY)
    expected = np.asarray(picture.convert("RGB").resize((48, 48), Image.Resampling.BOX), dtype=float)

    def shown():
        x, y, w, h = place(page, picture.size)
        seen = screen(page).crop((round(x), round(y), round(x + w), round(y + h)))
        seen = np.asarray(seen.resize((48, 48), Image.Resampling.BOX), dtype=float)
        return bool(np.abs(seen - expected).mean() < 12)

    until(page, f"the picture of size {picture.size} in the middle", shown)


def still(page, unlike=None):
    """Wait until image and right side do not change any more (and differ from an earlier look); return them."""
    page.mouse.move(*AWAY)
    last = [None]

    def same():
        now = np.asarray(screen(page).crop((LEFT, TOP, 1280, BOTTOM)))
        equal = last[0] is not None and np.array_equal(now, last[0])
        last[0] = now
        if equal and (unlike is None or not np.array_equal(now, unlike)):
            return now
        return None

    return until(
        page, "a picture that stays" + (" and differs from the one before" if unlike is not None else ""), same
    )


def in_objects(page, name):
    """The line under Objects that has the name or class, such as "car 1" or "car". Objects is above Classes."""

    def line():
        heading = text(page, r"^classes$").first.bounding_box()
        found = []
        for element in text(page, rf"^{name}( \d+)?$").all():
            box = element.bounding_box()
            if box and heading and box["x"] > RIGHT and box["y"] < heading["y"]:
                found.append((box["y"], element))
        return min(found, key=lambda item: item[0])[1] if found else None

    return until(page, f"{name} under Objects", line)


# What a person does


def click(page, size, x, y, button="left"):
    left, top, width, height = place(page, size)
    page.mouse.click(left + x * width, top + y * height, button=button)


def drag(page, size, x1, y1, x2, y2):
    left, top, width, height = place(page, size)
    page.mouse.move(left + x1 * width, top + y1 * height)
    page.mouse.down()
    page.mouse.move(left + (x1 + x2) / 2 * width, top + (y1 + y2) / 2 * height, steps=8)
    page.mouse.move(left + x2 * width, top + y2 * height, steps=8)
    page.mouse.up()


def prompt(page, size, where):
    """One click or box, then wait for the mask of the selected object."""
    before = still(page)
    if len(where) == 4:
        drag(page, size, *where)
    else:
        click(page, size, *where)
    still(page, unlike=before)
    see(page, MASK)


def choose(page, name):
    """Choose an image or a video in the list on the left."""
    text(page, rf"^{re.escape(name)}$").first.click()


def finish(page, name):
    """Give the selected object its class by the digit, and finish it."""
    page.keyboard.press(str(CLASSES.index(name) + 1))
    in_objects(page, name)
    page.keyboard.press("Enter")
    gone(page, MASK)  # nothing is selected any more


def add_class(page, name):
    page.get_by_role("button", name="Add a class").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible(timeout=WAIT)
    expect(dialog.get_by_role("textbox").first).to_be_focused(timeout=WAIT)
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden(timeout=WAIT)
    see(page, rf"^{name}$")


def label(page, images, clip):  # noqa: C901 - kept as written
    page.set_default_timeout(WAIT)
    see(page, r"\b0/11 checked")

    for name in CLASSES:
        add_class(page, name)

    # The ten images

    files = sorted(Path(images).glob("*.png"))
    assert [file.name for file in files] == sorted(PROMPTS), files
    for number, file in enumerate(files, 1):
        name = re.fullmatch(r"\d+_(\w+)\.png", file.name).group(1)
        picture = Image.open(file)
        size = picture.size
        if number == 1:  # afterwards, Ctrl+Enter goes to the next one
            choose(page, file.name)
        wait_for_picture(page, picture)

        if file.name == "00_fish.png":  # a click in the wrong place, undone
            prompt(page, size, (0.80, 0.85))
            see(page, r"objects\s*\(1\)")
            page.keyboard.press("Control+z")
            gone(page, r"objects\s*\(1\)")
            gone(page, MASK)

        for where in PROMPTS[file.name]:
            prompt(page, size, where)

        if file.name == "02_cup.png":  # the saucer does not belong to the cup
            before = still(page)
            click(page, size, 0.20, 0.60, button="right")
            still(page, unlike=before)
            see(page, MASK)

        if file.name == "03_rocket.png":  # paint over the whole rocket
            see(page, r"^points and boxes$")
            page.keyboard.press("b")
            gone(page, r"^points and boxes$")
            before = still(page)
            drag(page, size, 0.505, 0.18, 0.505, 0.88)
            still(page, unlike=before)
            see(page, r"objects\s*\(1\)")  # the stroke changed the selected object and made no new one
            page.keyboard.press("p")
            see(page, r"^points and boxes$")

        finish(page, name)
        see(page, r"objects\s*\(1\)")
        page.keyboard.press("Control+Enter" if number < len(files) else "Shift+Enter")
        see(page, rf"\b{number}/11 checked")

    # Three objects on frame 10 of the clip

    with av.open(str(clip)) as container:
        frames = [frame.to_image() for _, frame in zip(range(FIRST + 1), container.decode(video=0))]  # noqa: B905
    size = frames[0].size
    choose(page, Path(clip).name)
    expect(frame_field(page)).to_have_value("0", timeout=WAIT)
    wait_for_picture(page, frames[0])
    page.keyboard.press("Shift+ArrowRight")  # ten frames
    expect(frame_field(page)).to_have_value(str(FIRST), timeout=WAIT)
    wait_for_picture(page, frames[FIRST])

    for count, (name, where) in enumerate(IN_CLIP.items(), 1):
        prompt(page, size, where)
        finish(page, name)
        see(page, rf"objects\s*\({count}\)")

    # Track the range from frame 10 to 18

    page.keyboard.press("i")
    for frame in range(FIRST + 1, LAST + 1):
        page.keyboard.press("ArrowRight")
        expect(frame_field(page)).to_have_value(str(frame), timeout=WAIT)
    page.keyboard.press("o")
    page.keyboard.press("r")
    see(page, r"tracking finished after 8 frames")

    # Correct the car on frame 14, and track again what depends on it

    frame_field(page).click()
    page.keyboard.press("Control+a")
    page.keyboard.type(str(MIDDLE))
    page.keyboard.press("Enter")
    expect(frame_field(page)).to_have_value(str(MIDDLE), timeout=WAIT)
    in_objects(page, "car").click()
    see(page, r"selected object\W+\w")  # with its name
    before = still(page)
    click(page, size, 0.13, 0.58)  # the bonnet
    still(page, unlike=before)
    see(page, MASK)
    see(page, r"4 frames, 15 to 18, depend on this correction")
    page.get_by_role("button", name="Recompute").click()
    see(page, r"tracking finished after 4 frames")
    gone(page, r"depend on this correction")

    # Accept three masks on each of nine frames

    page.keyboard.press("Shift+Y")
    see(page, r"\b27 masks accepted")

    # Export

    page.get_by_role("button", name="Export").first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible(timeout=WAIT)
    everything = dialog.get_by_role("radio", name="All with objects")
    if everything.count():
        text(dialog, r"^all with objects").first.click()
        expect(everything).to_be_checked(timeout=WAIT)
    else:  # perhaps a list to choose from
        dialog.get_by_role("combobox").first.select_option(label="All with objects")
    coco = dialog.get_by_role("checkbox", name=re.compile(r"^COCO\b")).first
    expect(coco).to_be_checked(timeout=WAIT)
    dialog.get_by_role("button", name=re.compile(r"^Export\b")).last.click()
    see(dialog, r"exported to")
    expect(dialog.get_by_role("link", name="Download as zip")).to_be_visible(timeout=WAIT)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden(timeout=WAIT)
    see(page, r"\bsaved\b")
    see(page, r"\b10/11 checked")


# What is in the files


def read(path):
    """The categories of the annotations of each image of a COCO file: {name of the image: sorted names of classes}."""
    data = json.loads(path.read_text(encoding="utf-8"))
    categories = {category["id"]: category["name"] for category in data["categories"]}
    names = {image["id"]: Path(image["file_name"]).name for image in data["images"]}
    found = {name: [] for name in names.values()}
    for annotation in data["annotations"]:
        assert annotation["segmentation"], annotation
        assert annotation["bbox"][2] > 0 and annotation["bbox"][3] > 0, annotation
        found[names[annotation["image_id"]]].append(categories[annotation["category_id"]])
    return {name: sorted(classes) for name, classes in found.items()}


def check(project):
    folders = sorted(folder for folder in (Path(project) / "exports").iterdir() if folder.is_dir())
    assert folders, "nothing was exported"
    images = read(folders[-1] / "images" / "coco.json")
    for name in PROMPTS:
        expected = [re.fullmatch(r"\d+_(\w+)\.png", name).group(1)]
        assert images.get(name) == expected, f"{name}: {images.get(name)}, expected {expected}"
    frames = read(folders[-1] / "car" / "coco.json")
    for number in range(FIRST, LAST + 1):
        classes = frames.get(f"{number:05d}.jpg")
        assert classes == sorted(IN_CLIP), f"frame {number}: {classes}"
