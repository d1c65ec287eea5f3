"""A small model inside this process: llama.cpp through xllamacpp, no server, no network."""

import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import xllamacpp

from llmpso.backends.base import Reply, Request
from llmpso.backends.chat_completion import bound_format, messages
from llmpso.backends.model_file import QWEN, fetch_model, file_sha256, named_file, progress_bar
from llmpso.cores import usable_cores
from llmpso.errors import BackendError, BackendUnavailableError

CONTEXT_TOKENS = 8192

# The deadline is checked between two batches of the prompt.
_BATCH_TOKENS = 128


class EmbeddedBackend:
    """A GGUF model run by llama.cpp; loaded at the first question, shared by all threads.

    On one machine the same question has the same answer, at any temperature, whatever was asked
    before and however many threads there are.

    Attributes:
        file: The user's own model file, or None for the one that is fetched.
    """

    def __init__(
        self, path: Path | None = None, *, timeout: float = 300.0, n_threads: int | None = None
    ) -> None:
        """Set up the backend; nothing is fetched or loaded.

        Args:
            path: A GGUF file; else `LLMPSO_MODEL_PATH`, else the known small model.
            timeout: Seconds for one call, without loading.
            n_threads: Else one for each core that this process may use. They wait for each other
                at every layer: where other work fills the cores, fewer are faster.

        Raises:
            BackendUnavailableError: What is named is no GGUF file.
        """
        self.file = named_file(path)
        self._timeout = timeout
        self._n_threads = n_threads or usable_cores()
        self._server: Any = None
        self._closed = False
        self._lock = threading.Lock()

    @property
    def identity(self) -> Mapping[str, str]:
        """Backend, file name, hash, and the quantisation if the file name shows it."""
        name = self.file.name if self.file else QWEN.name
        sha256 = file_sha256(self.file) if self.file else QWEN.sha256
        quantisation = re.search(r"[-._]([it]?q\d\w*|b?f16|f32)\.gguf$", name, re.IGNORECASE)
        named = {"quantisation": quantisation[1].upper()} if quantisation else {}
        return {"backend": "embedded", "model": name, "sha256": sha256} | named

    def check(self) -> None:
        """Check that the model file is here and complete; fetch it if necessary.

        Raises:
            BackendUnavailableError: It cannot be fetched.
        """
        self._fetch()

    def complete(self, request: Request) -> Reply:
        """Ask once; see `Backend`."""
        start = time.perf_counter()
        server = self._loaded()
        stream = _Stream(time.perf_counter(), self._timeout)
        try:
            _apart(lambda: server.handle_chat_completions(_body(request), stream), stream)
        except ValueError as error:
            raise BackendError(f"llama.cpp refuses the request: {error}") from error
        # The first call waits for the model to load: that is its time, too.
        return replace(stream.reply(), seconds=time.perf_counter() - start)

    def close(self) -> None:
        """Free the model; a call that is under way ends first."""
        with self._lock:
            self._closed = True
            self._server = None

    def _fetch(self) -> Path:
        with progress_bar("language model") as progress:
            return fetch_model(self.file, progress)

    def _loaded(self) -> Any:
        with self._lock:
            if self._closed:
                raise BackendError("the embedded backend is closed; make a new one")
            if self._server is None:
                self._server = _load(self._fetch(), self._n_threads)
            return self._server


class _Stream:
    """Gathers the pieces of a reply, and stops the model at the deadline."""

    def __init__(self, start: float, timeout: float) -> None:
        self._start = start
        self._timeout = timeout
        self._late = False
        self._stopped = False
        self._error = ""
        self._text: list[str] = []
        self._finish: str | None = None
        self._usage: Mapping[str, int] = {}

    def __call__(self, chunk: Mapping[str, Any]) -> bool:
        """Take one piece; true stops the model. An exception here would be lost."""
        if "error" in chunk:
            self._error = chunk["error"]["message"]
        for choice in chunk.get("choices", ()):
            self._text.append(choice["delta"].get("content") or "")
            self._finish = choice["finish_reason"]
        self._usage = chunk.get("usage", self._usage)
        self._late = not self._usage and time.perf_counter() > self._start + self._timeout
        return self._late or self._stopped

    def stop(self) -> None:
        """Let the model end with its next piece."""
        self._stopped = True

    def reply(self) -> Reply:
        """The whole reply.

        Raises:
            BackendError: There is none.
        """
        if self._error:
            raise BackendError(f"llama.cpp refuses the request: {self._error}")
        if self._late:
            raise BackendError(
                f"the embedded model did not end within {self._timeout:g} s; allow more time"
            )
        return Reply(
            text="".join(self._text),
            prompt_tokens=self._usage["prompt_tokens"],
            completion_tokens=self._usage["completion_tokens"],
            seconds=time.perf_counter() - self._start,
            truncated=self._finish == "length",
        )


def _apart(call: Callable[[], object], stream: _Stream) -> None:
    """Call outside the main thread: there, an interrupt would be lost in the callback."""
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(call)
        try:
            ended.result()
        finally:
            stream.stop()


def _body(request: Request) -> dict[str, Any]:
    return {
        "messages": messages(request),
        "response_format": bound_format(request.schema),
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        # llama.cpp takes 32 bits, and all of them set for "any seed".
        "seed": request.seed % 2**31,
        # A prompt that is partly cached is computed in batches of other sizes, which rounds
        # otherwise: replies at temperature 0 were seen to differ.
        "cache_prompt": False,
        "stream": True,
        "stream_options": {"include_usage": True},
        # Pieces come during the reading of the prompt, too: the deadline holds there.
        "return_progress": True,
    }


def _load(path: Path, n_threads: int) -> Any:
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = CONTEXT_TOKENS
    params.n_parallel = 1
    params.n_batch = _BATCH_TOKENS
    params.cpuparams.n_threads = n_threads
    # Flash attention splits its sums by thread: replies were seen to differ with their number.
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    params.cache_ram_mib = 0
    params.verbosity = 0
    params.ui = False
    # llama.cpp's server listens on a loopback port even if it is only called in process.
    params.api_keys = [secrets.token_hex()]
    params.warmup = False
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        raise BackendUnavailableError(
            f"llama.cpp cannot load {path}; take a GGUF file it knows, and see that "
            "there is memory for it"
        ) from error
    # Its loop may not run yet, and freeing it before then hangs: wait for one token.
    server.handle_completions({"prompt": "1", "max_tokens": 1})
    return server
