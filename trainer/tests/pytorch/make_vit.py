#!/usr/bin/env python3
"""Makes vit.safetensors: a small vision transformer in float64, as PyTorch computes it.

Names and layers are those of torchvision's VisionTransformer, written here on their own; where torchvision is there, its own class
has to take the state and to agree. In the file: the state (`state.NAME`), images (N, H, W, C), their logits, and the gradients of the
mean cross-entropy of labels 0 and 2 (`gradient.NAME`).
"""
import functools
import pathlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file

SIZE, PATCH, WIDTH, DEPTH, HEADS, HIDDEN, CLASSES = 16, 8, 12, 2, 3, 20, 3
Norm = functools.partial(nn.LayerNorm, eps=1e-6)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = Norm(WIDTH), Norm(WIDTH)
        self.self_attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.GELU(), nn.Identity(), nn.Linear(HIDDEN, WIDTH))

    def forward(self, x):
        y = self.ln_1(x)
        x = x + self.self_attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.conv_proj = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.encoder = nn.Module()
        self.encoder.pos_embedding = nn.Parameter(torch.empty(1, (SIZE // PATCH) ** 2 + 1, WIDTH))
        self.encoder.layers = nn.ModuleDict({f"encoder_layer_{number}": Encoder() for number in range(DEPTH)})
        self.encoder.ln = Norm(WIDTH)
        self.heads = nn.ModuleDict({"head": nn.Linear(WIDTH, CLASSES)})

    def forward(self, x):
        x = self.conv_proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.encoder.pos_embedding
        for layer in self.encoder.layers.values():
            x = layer(x)
        return self.heads["head"](self.encoder.ln(x)[:, 0])


def check(state, images, logits):
    try:
        from torchvision.models.vision_transformer import VisionTransformer
    except ImportError:
        return print("torchvision is not there: its own class was not asked")
    theirs = VisionTransformer(SIZE, PATCH, DEPTH, HEADS, WIDTH, HIDDEN, num_classes=CLASSES).double().eval()
    theirs.load_state_dict(state, strict=True)
    with torch.no_grad():
        off = (theirs(images.permute(0, 3, 1, 2)) - logits).abs().max().item()
    assert off < 1e-12, off
    print(f"torchvision's own class agrees to {off:.1e}")


def main():
    torch.manual_seed(0)
    network = Network().double()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)  # nothing that is 0 or 1 by chance
    state = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(2, SIZE, SIZE, 3, dtype=torch.float64)
    logits = network(images.permute(0, 3, 1, 2))
    F.cross_entropy(logits, torch.tensor([0, 2])).backward()
    check(state, images, logits.detach())
    found = {f"state.{name}": value for name, value in state.items()}
    found |= {"images": images, "logits": logits.detach()}
    found |= {f"gradient.{name}": parameter.grad for name, parameter in network.named_parameters()}
    path = pathlib.Path(__file__).parent / "vit.safetensors"
    save_file({name: value.contiguous() for name, value in found.items()}, path)


if __name__ == "__main__":
    main()
