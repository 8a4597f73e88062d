"""A transformer checkpoint as an encoder: tokenising, computing and copying back overlap."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import torch

from bitextmine.checkpoints.description import Description
from bitextmine.config import EncoderOptions
from bitextmine.encoders.base import Encoded, EncoderInfo
from bitextmine.encoders.transformer.backbone import count_multiplied, load_backbone
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.runners import CoresRunner, DeviceRunner, Pending
from bitextmine.encoders.transformer.tokens import TokenIds, Tokeniser, load_tokeniser
from bitextmine.errors import EncoderError

_CPU_TOKENS = 512  # as fast as more, and the last batches of a window are shared out evenly
_GPU_TOKENS = 16_384  # fills every multiprocessor; 192 ms of mT5-xxl on an H100
_SENTENCE_TOKENS = 30  # typical
_SECONDS = 20  # of work that a killed run may lose
_CPU_FLOPS, _GPU_FLOPS = 1e11, 4e14  # rough rates, which set the size of a chunk only


class TransformerEncoder:
    """Sentence vectors of a checkpoint, in windows that are tokenised, computed and copied at once.

    Parameters
    ----------
    info : EncoderInfo
        The identity card.
    description : Description
        How the folder's files say that sentences become vectors.
    options : EncoderOptions
        ``dtype`` is resolved: "float32", "bfloat16" or "float16".
    device : str
        "cpu", "cuda:0", …
    threads : int
        CPU cores for tokenising, and for computing on a CPU.

    Raises
    ------
    EncoderError
        The folder is damaged, or the device too small.
    """

    def __init__(
        self,
        info: EncoderInfo,
        description: Description,
        options: EncoderOptions,
        *,
        device: str,
        threads: int,
    ) -> None:
        on_cpu = device == "cpu"
        if not on_cpu:
            prepare_gpu(device)
        rows = chunk_rows(count_multiplied(description.folder), on_cpu=on_cpu)
        self.info = replace(info, chunk_rows=rows)
        self._tokeniser = _load_tokeniser(description, options, description.prompt, threads)
        backbone = load_backbone(
            description,
            device=device,
            dtype=getattr(torch, options.dtype),
            trust_remote_code=options.trust_remote_code,
        )
        skip = unpooled_tokens(description, options)
        network = Network(backbone, description, device, skip=skip)
        self._vocabulary, self._folder = network.vocabulary, description.folder
        self._runner: CoresRunner | DeviceRunner
        if on_cpu:
            self._runner = CoresRunner(network, options.batch_tokens or _CPU_TOKENS, threads)
        else:
            budget = options.batch_tokens or _GPU_TOKENS
            self._runner = DeviceRunner(network, budget, compiled=options.compile)

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """Encode the sentences, in the order given."""
        with closing(self.encode_stream([sentences])) as stream:
            return next(stream)

    def encode_stream(self, windows: Iterable[Sequence[str]]) -> Generator[Encoded, None, None]:
        """Encode window after window; one is tokenised and one computed while a third is used."""
        computing: deque[Pending] = deque()
        with closing(_ahead(self._tokenise, windows)) as tokenised:
            try:
                for tokens in tokenised:
                    computing.append(self._runner.start(tokens))
                    if len(computing) > 1:
                        yield computing[0].wait()
                        computing.popleft()
                while computing:
                    yield computing[0].wait()
                    computing.popleft()
            finally:
                for pending in computing:
                    pending.cancel()

    def _tokenise(self, window: Sequence[str]) -> TokenIds:
        """Tokenise a window; ids without an embedding would end a GPU's program, not just ours."""
        tokens = self._tokeniser.encode(window)
        largest = int(tokens.ids.max(initial=0))
        if largest >= self._vocabulary:
            raise EncoderError(
                f"the tokenizer in {self._folder} gave token {largest:,}, and the model knows"
                f" {self._vocabulary:,}",
                hint="tokenizer and weights must belong together; fetch the model again",
            )
        return tokens


def _ahead(
    tokenise: Callable[[Sequence[str]], TokenIds], windows: Iterable[Sequence[str]]
) -> Generator[TokenIds, None, None]:
    """Tokenise each window while the one before it is in use."""
    with ThreadPoolExecutor(1, "tokenise") as executor:
        waiting: deque[Future[TokenIds]] = deque()
        for window in windows:
            waiting.append(executor.submit(tokenise, window))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def chunk_rows(multiplied: int, *, on_cpu: bool) -> int:
    """Sentences in some seconds of work: a power of two, the same on every device of a kind."""
    flops = _CPU_FLOPS if on_cpu else _GPU_FLOPS
    rows = int(_SECONDS * flops / (2 * max(multiplied, 1) * _SENTENCE_TOKENS))
    return min(max(1 << rows.bit_length() - 1 if rows else 0, 256), 65_536)


def prepare_gpu(device: str) -> None:
    """Make the GPU this process's own, and leave out a kind of attention that plans every shape."""
    torch.cuda.set_device(device)  # or pinning memory would take a part of the first GPU too
    torch.backends.cuda.enable_cudnn_sdp(False)


def _load_tokeniser(
    description: Description, options: EncoderOptions, prompt: str, threads: int
) -> Tokeniser:
    return load_tokeniser(
        description.folder,
        model_type=description.model_type,
        max_length=description.max_length,
        prompt=prompt,
        lowercase=description.lowercase,
        threads=threads,
        trust_remote_code=options.trust_remote_code,
    )


def unpooled_tokens(description: Description, options: EncoderOptions) -> int:
    """Return how many leading tokens are not pooled: the prompt's, where the files say so.

    They are as many as the prompt gives by itself, but for a special token behind it.
    """
    if description.pool_prompt or not description.prompt:
        return 0
    bare = _load_tokeniser(description, options, "", 1)
    prompt, nothing = (bare.encode([text]).ids for text in (description.prompt, ""))
    ends = len(nothing) > 0 and prompt[-1] == nothing[-1]
    return len(prompt) - int(ends)
