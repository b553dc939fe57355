"""Which modules and names a learner's file may use, and the reason for each that it may not.

What is harmless is allowed, whether or not a solution needs it: people bring their habits with them. What is refused
is told with its reason, so that nobody has to guess what the grader is afraid of.
"""

from __future__ import annotations

import re

NOT_READ = 'lines under `if __name__ == "__main__":` are not read'


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MODULES = _words(
    """torch numpy math typing typing_extensions dataclasses functools itertools collections abc enum operator
    numbers warnings contextlib copy __future__ types string random time datetime textwrap pprint logging cmath
    statistics fractions decimal re json io bisect heapq timeit unittest inspect sys argparse array"""
)

# Of these modules only a few names are harmless; the rest reaches files, frames or other modules.
_ONLY = {
    "inspect": _words("signature"),
    "io": _words("StringIO BytesIO"),
    "json": _words("load loads dump dumps JSONDecodeError JSONDecoder JSONEncoder"),
    "timeit": _words("timeit repeat Timer default_timer"),
    "unittest": _words("TestCase TestSuite skip skipIf skipUnless expectedFailure"),
    "sys": _words("stdout stderr version version_info hexversion maxsize float_info platform byteorder"),
    "argparse": _words("ArgumentParser Namespace ArgumentDefaultsHelpFormatter RawDescriptionHelpFormatter"),
    "torch.testing": _words("assert_close assert_allclose make_tensor"),
    "numpy.testing": _words(
        """assert_allclose assert_array_equal assert_almost_equal assert_array_almost_equal assert_equal
        assert_array_less assert_raises"""
    ),
}

_ATTENTIONS = "holds a finished attention, which is what the exercise asks you to write"
_FILES = "opens files, and a grade has none: its inputs are tensors"
_PROCESSES = "starts processes or reaches the network, and a grade runs as one process without a network"
_DEBUGGERS = "stops in a debugger, which a grade does not have: python grader.py --debug KATA does"

_MODULE_REASONS = {
    "einops": "is not part of PyTorch: unflatten, transpose, reshape and torch.einsum do the same here",
    **dict.fromkeys(
        ("jaxtyping", "torchtyping", "beartype"),
        "is not part of PyTorch: annotate with Tensor, and write the shape in a comment",
    ),
    **dict.fromkeys(
        """flash_attn flash_attn_interface xformers flashinfer sageattention transformers x_transformers torchtune
        litgpt fairseq local_attention torchao vllm transformer_engine apex""".split(),
        _ATTENTIONS,
    ),
    **dict.fromkeys("triton numba cupy jax tensorflow mlx tvm".split(), "computes outside PyTorch, without gradients"),
    **dict.fromkeys("os pathlib shutil glob tempfile pickle csv zipfile h5py safetensors".split(), _FILES),
    **dict.fromkeys(
        "subprocess multiprocessing threading concurrent asyncio socket signal requests urllib http".split(), _PROCESSES
    ),
    **dict.fromkeys("pdb ipdb code bdb pudb".split(), _DEBUGGERS),
    **dict.fromkeys(
        "pytest hypothesis".split(), "is for tests, and the grader has its own; assert and torch.testing are allowed"
    ),
    "google": 'exists on Colab only: put what Colab needs under `if "google.colab" in sys.modules:`, which is not read',
}

_BUILTIN_REASONS = {
    **dict.fromkeys(
        ("exec", "eval", "compile", "__import__"), "makes code of text, and a grade reads the code before it runs"
    ),
    "open": _FILES,
    **dict.fromkeys(("globals", "vars"), "reaches behind the values, into the interpreter"),
    "breakpoint": _DEBUGGERS,
    "input": "waits for a keyboard, which a grade does not have",
}

_PATH_REASONS = (
    (
        r"torch\.(compile|compiler)\b",
        "starts a compiler, which needs files and processes, and a grade has neither: leave the function as it is",
    ),
    (r"torch\.(load|save|hub|serialization|storage|from_file|package|UntypedStorage|TypedStorage)\b", _FILES),
    (r"torch\.jit\.(load|save)\b", _FILES),
    (r"torch\.(distributed|multiprocessing)\b", _PROCESSES),
    (r"numpy\.(memmap|fromfile|loadtxt|load|savez|savetxt|save|genfromtxt|fromregex)\b", _FILES),
    (r"logging\.(FileHandler|handlers)\b", _FILES),
    (
        r"""torch\.(ops|classes|library|onnx|export|overrides|profiler|ao|quantization|utils\.(?!checkpoint\b)\w+)\b
            |numpy\.(lib|ctypeslib|f2py|core)\b|logging\.config\b|types\.(CodeType|FunctionType)\b""",
        "leads around the exercise or out of it, so a solution does without",
    ),
)
_PATHS = tuple((re.compile(pattern, re.VERBOSE), reason) for pattern, reason in _PATH_REASONS)


def module_refused(module: str) -> str:
    """Why that module may not be imported, as a sentence; nothing where it may."""
    root = module.partition(".")[0]
    if root in _MODULES:
        return ""
    reason = _MODULE_REASONS.get(root)
    if not reason:
        return f"a solution imports torch and modules that only compute; {root} is not among them; {NOT_READ}"
    return f"{root} {reason}; {NOT_READ}"


def builtin_refused(name: str) -> str:
    """Why that built-in function may not be used; nothing where it may."""
    reason = _BUILTIN_REASONS.get(name)
    return f"{name} {reason}; {NOT_READ}" if reason else ""


def path_refused(path: str) -> str:
    """Why a dotted path that begins at an imported module may not be used; nothing where it may."""
    for pattern, reason in _PATHS:
        found = pattern.match(path)
        if found:
            return f"{found[0]} {reason}; {NOT_READ}"
    for module, names in _ONLY.items():
        name = path.removeprefix(f"{module}.").partition(".")[0]
        if path.startswith(f"{module}.") and name not in names:
            return f"of {module}, a solution may use {_listed(names)}, and not {name}; {NOT_READ}"
    return ""


def value_refused(path: str) -> str:
    """Why a module may not be handed on as a value; nothing where it may: all that is in it would go along."""
    names = _ONLY.get(path)
    return f"of {path}, a solution may use {_listed(names)}, and not the module itself; {NOT_READ}" if names else ""


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names))
