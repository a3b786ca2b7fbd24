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
second = base.rotate(180)
base.quantize(64).save("animated.gif", save_all=True, append_images=[second.quantize(64)])
base.save("lossless.webp", lossless=True)
base.save("lossy.webp", quality=95)
base.save("plain.bmp")
base.convert("P").save("palette.bmp")
base.save("lzw.tif", compression="tiff_lzw")
base.save("deflate.tiff", compression="tiff_adobe_deflate")
base.save("pixels.ppm")
base.convert("L").save("greys.pgm")
named = ["cmyk.jpg", "grey.jpg", "progressive.jpg", "grey_alpha.png", "animated.gif", "lossless.webp", "lossy.webp",
         "plain.bmp", "palette.bmp", "lzw.tif", "deflate.tiff", "pixels.ppm", "greys.pgm"]
for name in named:
    with open(name.rsplit(".", 1)[0] + ".rgb", "wb") as out:
        out.write(Image.open(name).convert("RGB").tobytes())

# Sixteen bits: Pillow cuts such values off instead of scaling them, so what is expected is computed here.
deep = [(x * 10 + y) * 257 for y in range(16) for x in range(24)]
image = Image.new("I;16", (24, 16))
image.putdata(deep)
image.save("deep.png")
image.save("deep_grey.tif")
for name in ["deep", "deep_grey"]:
    with open(name + ".rgb", "wb") as out:
        out.write(b"".join(bytes([value // 257]) * 3 for value in deep))
