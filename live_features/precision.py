"""With how many bits the processor multiplies fastest."""

from __future__ import annotations

import torch


def multiplies_in_bfloat16(device: torch.device | str = "cpu") -> bool:
    """Whether ``device`` does so itself; others take many times as long as with 32 bits."""
    if torch.device(device).type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of torch cannot tell.
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return any(capabilities.get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def fastest_precision(device: torch.device) -> torch.autocast:
    """A context in which matrices are multiplied in bfloat16 where ``device`` is faster so."""
    return torch.autocast(device.type, torch.bfloat16, enabled=multiplies_in_bfloat16(device))
