#!/usr/bin/env python3
"""What TorchScript and ONNX Runtime say of the first test images of Fashion-MNIST, each averaged with its mirror image.

    scripted.py MODEL.pt MODEL.onnx FOLDER_WITH_IDX_FILES IMAGES OUT.csv

Writes `index,by TorchScript,by ONNX Runtime` lines.
"""
import gzip, sys
import numpy as np, onnxruntime, torch

scripted, onnx, folder, count, out = sys.argv[1:]
model, session = torch.jit.load(scripted), onnxruntime.InferenceSession(onnx)
with gzip.open(f"{folder}/t10k-images-idx3-ubyte.gz") as file:
    pixels = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 1, 28, 28)[: int(count)]
images = torch.from_numpy(pixels.copy()).float() / 255
sums = [0, 0]
for view in (images, images.flip(3)):
    sums[0] = sums[0] + model(view).numpy()
    sums[1] = sums[1] + session.run(None, {"images": view.numpy()})[0]
with open(out, "w") as file:
    for index, labels in enumerate(zip(*(logits.argmax(1) for logits in sums))):
        file.write(f"{index},{labels[0]},{labels[1]}\n")
