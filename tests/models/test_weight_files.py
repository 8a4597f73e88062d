"""Files of weights are those of the safetensors library, and no larger than planned."""

import torch
from safetensors.torch import save
from torch import Tensor

from bitextmine.models.weight_files import (
    TensorForm,
    in_library_order,
    plan_files,
    safetensors_blocks,
)


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    some = {
        name: torch.rand(3, 4, generator=generator).to(dtype)
        for name, dtype in (
            ("b", torch.bfloat16),
            ("é's half", torch.float16),
            ("a", torch.bfloat16),
            ("single", torch.float32),
            ("double", torch.float64),
        )
    }
    whole = {"places": torch.arange(7)[None], "small": torch.arange(5, dtype=torch.uint8)}
    return some | whole | {"scalar": torch.tensor(2.5), "none": torch.zeros(0, 4)}


def test_a_file_equals_that_of_the_library() -> None:
    known = tensors()
    forms = {name: TensorForm(tensor.dtype, tuple(tensor.shape)) for name, tensor in known.items()}
    ordered = {name: forms[name] for name in in_library_order(forms)}
    written = b"".join(safetensors_blocks(ordered, known.__getitem__))
    assert written == save(known, {"format": "pt"})


def test_tensors_are_asked_for_one_at_a_time_and_in_order() -> None:
    known = tensors()
    forms = {name: TensorForm(tensor.dtype, tuple(tensor.shape)) for name, tensor in known.items()}
    asked: list[str] = []

    def get(name: str) -> Tensor:
        asked.append(name)
        return known[name]

    blocks = safetensors_blocks(forms, get)
    next(blocks)
    assert asked == []
    next(blocks)
    assert asked == ["b"]
    assert b"".join(blocks)
    assert asked == list(known)


def test_files_are_filled_in_order_and_a_large_tensor_is_alone() -> None:
    files = plan_files({"a": 4, "b": 4, "large": 30, "c": 6, "d": 5}, 10)
    assert list(files.values()) == [["a", "b"], ["large"], ["c"], ["d"]]
    assert next(iter(files)) == "model-00001-of-00004.safetensors"
