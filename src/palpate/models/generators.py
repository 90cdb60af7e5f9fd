"""The state of torch's global generators, so that what draws from them can go on as if there had been no break."""

import torch


def generator_states(device: torch.device) -> list[torch.Tensor]:
    """The states on the CPU and on the device."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def restore_generators(states: list[torch.Tensor], device: torch.device) -> None:
    """Set the states that `generator_states` gave; those of a device only where it is of the same kind."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
