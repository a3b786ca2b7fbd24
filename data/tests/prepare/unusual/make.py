"""Writes the images of this folder and what Pillow reads from them (the .rgb files). Needs Pillow."""
from PIL import Image

base = Image.new("RGB", (24, 16))
base.putdata([(x * 10, y * 15, 255 - x * 5 - y * 5) for y in range(16) for x in range(24)])
base.convert("CMYK").save("cmyk.jpg", quality=95, subsampling=0)
base.convert("L").save("grey.jpg", quality=95)
base.save("progressive.jpg", quality=95, subsampling=0, progressive=True)
grey_alpha = base.convert("LA")
grey_alpha.putalpha(100)
grey_alpha.save("grey_alpha.png")
for name in ["cmyk.jpg", "grey.jpg", "progressive.jpg", "grey_alpha.png"]:
    with open(name.rsplit(".", 1)[0] + ".rgb", "wb") as out:
        out.write(Image.open(name).convert("RGB").tobytes())
