"""Pictures to paste and a photograph to paste them on, made up."""

from PIL import Image, ImageDraw

SHAPES = {"round": "ellipse", "angular": "rectangle"}
PAIR = ("angular/square", "round/disc")


def draw_objects(place, names=PAIR):
    """Red shapes in folders of their kind, and one dark photograph: both folders."""
    for name in names:
        picture = Image.new("RGBA", (144, 100))
        shape = SHAPES[name.partition("/")[0]]
        getattr(ImageDraw.Draw(picture), shape)((10, 10, 90, 90), fill=(200, 40, 40, 255))
        file = place / "objects" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture.save(file)
    (place / "photos").mkdir(exist_ok=True)
    night = Image.linear_gradient("L").point(lambda grey: grey // 4)
    night.convert("RGB").save(place / "photos" / "night.png")
    return place / "objects", place / "photos"
