"""100 steps of torch.optim in float64, each from the gradient sin(3 w + step) of the parameters w as they are.

Prints {name: [parameters after each tenth step]} as JSON; trainer/tests/needs/optimisers.rs makes the same steps. "average" is
AveragedModel's moving average of the weights sin(step + 0.01 i).
"""
import json

import torch


def steps(make, clip, rho=0):
    w = torch.nn.Parameter(torch.linspace(-1, 1, 31, dtype=torch.float64))
    optimiser = make([w])
    found = []
    for step in range(100):
        optimiser.param_groups[0]["lr"] = 0.05 / (1 + step % 7)
        w.grad = torch.sin(3 * w.detach() + step)
        if rho:  # Foret et al., ICLR 2021, algorithm 1
            w.grad = torch.sin(3 * (w.detach() + rho * w.grad / w.grad.norm()) + step)
        if clip:
            torch.nn.utils.clip_grad_norm_([w], clip)
        optimiser.step()
        if step % 10 == 9:
            found.append(w.detach().tolist())
    return found


def average():
    model = torch.nn.Linear(1, 500, bias=False, dtype=torch.float64)
    averaged = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    found = []
    for step in range(100):
        with torch.no_grad():
            model.weight.copy_(torch.sin(step + 0.01 * torch.arange(500, dtype=torch.float64)).view(500, 1))
        averaged.update_parameters(model)
        if step % 10 == 9:
            found.append(averaged.module.weight.flatten().tolist())
    return found


print(
    json.dumps(
        {
            "sgd": steps(lambda w: torch.optim.SGD(w, 0.05, momentum=0.9, weight_decay=5e-3), 0),
            "nesterov": steps(lambda w: torch.optim.SGD(w, 0.05, momentum=0.9, weight_decay=5e-3, nesterov=True), 0),
            "adamw": steps(lambda w: torch.optim.AdamW(w, 0.05, betas=(0.8, 0.99), eps=1e-7, weight_decay=0.05), 0),
            "average": average(),
            "sam": steps(lambda w: torch.optim.SGD(w, 0.05, momentum=0.9, weight_decay=5e-3), 0, rho=0.3),
            "clipped": steps(lambda w: torch.optim.SGD(w, 0.05, momentum=0.9, weight_decay=5e-3), 0.7),
        }
    )
)
