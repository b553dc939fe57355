"""The candidate: compiles the learner's source and serves calls. It holds nothing else.

Requests and replies are dicts that the wire can carry. A reply has either "value" or "error".
"""

from __future__ import annotations

import ast
import functools
import linecache
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from grading.candidate import rules
from grading.candidate.deadline import deadline
from grading.candidate.errors import NotLoadable, frames, told
from grading.candidate.meter import count, peak_bytes
from grading.candidate.misfit import Misfit, lazy_layer, other_given, other_signature, other_symbol
from grading.candidate.no_autograd import refuse_autograd
from grading.candidate.objects import Objects, solid
from grading.candidate.surroundings import begin_random_numbers, differences, settle, surroundings
from grading.candidate.weights import fitted
from grading.candidate.wire import Opaque, describe

UNSIGNED = ("load", "set", "decode", "look", "assign", "state")  # requests whose arguments have no signature
HOLD_OBJECTS = {"args", "kwargs", "calls"}  # the parts of a request in which objects are referred to


class Session:
    """One learner's file in this process.

    Args:
        ledger: names of forbidden functions, in the order in which they were reached.
        strict: whether the file has to keep the rules; not when debugging, where breakpoint() is welcome, and the
            process is not the candidate's own.
    """

    def __init__(self, ledger: list[str], strict: bool = True) -> None:
        self.strict = strict
        self.ledger = ledger
        self.file = ""
        self.module = types.ModuleType("learner")
        self.tree = ast.Module([], [])
        self.signatures: dict[str, list[str]] = {}  # the parameters that the contract names
        self.layers: dict[int, nn.Module] = {}
        self.grads: dict[int, bool] = {}
        self.records = True  # gradients
        self.objects = Objects()
        self.memory: list[Any] = [[], {}]  # where the arguments lie of the last call that worked in place

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request: whatever the learner's code does, a dict."""
        reply: dict[str, Any] = {}
        try:
            with deadline(request.get("seconds", 0.0)):
                for request in (*request.get("first", ()), request):  # noqa: B020  # what is at work when an error comes
                    reply = self._served(request)
        except BaseException as error:
            reply = {"error": told(self._misfit(request, error) or error, self.file, self.tree)}
            if "effect" in request:
                reply["echo"] = self.memory
        return {**reply, "reached": list(self.ledger)}

    def _served(self, request: dict[str, Any]) -> dict[str, Any]:
        serve: Callable[[dict[str, Any]], dict[str, Any]] = getattr(self, f"_{request['do']}")
        if self.objects:
            values = {key: self.objects.resolved(request[key]) for key in HOLD_OBJECTS & request.keys()}
            request = {**request, **values}
        return serve(request)

    # ------------------------------------------------------------------------------------- requests

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        source, self.file = request["source"], request["file"]
        linecache.cache[self.file] = (len(source), None, source.splitlines(keepends=True), self.file)
        try:
            self.tree = rules.what_runs(ast.parse(source, self.file))
            found = rules.violations(self.tree) if self.strict else []
            if found:
                raise NotLoadable(found[0].text, found[0].line)
            code = compile(self.tree, self.file, "exec", dont_inherit=True)
        except SyntaxError as error:
            raise NotLoadable(f"{type(error).__name__}: {error.msg}", error.lineno or 0) from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise NotLoadable(f"not a Python program: {error}") from None
        self.module.__file__ = self.file
        if self.strict and "autograd" in request["refuses"]:
            refuse_autograd(self.ledger.append)
            self.records = False
        begin_random_numbers(request["seed"])
        sys.modules["learner"] = self.module
        exec(code, self.module.__dict__)
        self.signatures = request["signatures"]
        for names, other in ((request["symbols"], other_symbol), (request["given"], other_given)):
            for name in names:
                if misfit := other(name, getattr(self.module, name, None), self.tree):
                    raise NotLoadable(str(misfit), misfit.line)
        return {"value": None, "lines": _lines(self.tree)}

    def _make(self, request: dict[str, Any]) -> dict[str, Any]:
        layer = getattr(self.module, request["symbol"])(*request["args"], **request["kwargs"])
        if not isinstance(layer, nn.Module):
            raise TypeError(f"{request['symbol']}(...) made a {describe(layer)}, not a layer")
        misfit = lazy_layer(layer, self.tree)
        if misfit:
            raise misfit
        self.layers[request["layer"]] = layer
        return {"value": {name: list(parameter.shape) for name, parameter in layer.named_parameters()}}

    def _build(self, request: dict[str, Any]) -> dict[str, Any]:
        """An object of a class that the stub gives: requests that come after it refer to it by its number."""
        fields = {name: solid(value) for name, value in request["kwargs"].items()}
        self.objects.keep(request["object"], getattr(self.module, request["class"])(**fields), fields)
        return {"value": None}

    def _assign(self, request: dict[str, Any]) -> dict[str, Any]:
        self.objects.assign(request["object"], request["kwargs"])
        return {"value": None}

    def _look(self, request: dict[str, Any]) -> dict[str, Any]:
        return self.objects.look(request["object"])

    def _set(self, request: dict[str, Any]) -> dict[str, Any]:
        layer = self.layers[request["layer"]]
        if layer.training != request["training"]:  # as a caller does: what is kept until then is seen
            layer.train(request["training"])
        if request["training"]:
            begin_random_numbers(request["seed"])
        layer.to(request["dtype"])
        self.grads[request["layer"]] = request["grad"]
        parameters = dict(layer.named_parameters())
        weights = fitted(request["weights"], {name: parameter.shape for name, parameter in parameters.items()})
        with torch.no_grad():
            for name, weight in weights.items():
                parameters[name].copy_(weight)
        return {}

    def _call(self, request: dict[str, Any]) -> dict[str, Any]:
        args, kwargs = request["args"], request["kwargs"]
        args[:] = [args[i] for i in request["same"]]  # what was one tensor there is one tensor here
        target = self._target(request)
        if "cotangent" in request:
            return self._gradients(request, target)
        if "effect" in request:
            return self._effect(request, target)
        if "meter" in request:
            value, flops = count(lambda: target(*args, **kwargs))
            return {"value": value, "flops": flops}
        with self._mode(request["layer"]):
            if "watch" in request:
                settle()
                layer = self.layers.get(request["layer"])
                before = surroundings(layer)
                value = target(*args, **kwargs)
                return {"value": value, "changed": differences(before, surroundings(layer))}
            value = target(*args, **kwargs)
        return {"value": value, "echo": [args, kwargs]} if "echo" in request else {"value": value}

    def _effect(self, request: dict[str, Any], target: Callable[..., Any]) -> dict[str, Any]:
        """What a call leaves in the memory of its arguments, which a caller goes on reading even where the arguments
        are given another; what it returns is nobody's business, and may be anything."""
        args, kwargs = request["args"], request["kwargs"]
        self.memory = [_aliases(args), _aliases(kwargs)]
        with self._mode(request["layer"]):
            target(*args, **kwargs)
        return {"value": None, "echo": self.memory}

    def _several(self, request: dict[str, Any]) -> dict[str, Any]:
        """Calls in a row; what they gave is looked at after the last. With "reuse", all get the first one's tensors;
        with "turn", each gets what the one before returned, in front of its own arguments, until one raises."""
        reuse, spoil, turn = (request.get(how, False) for how in ("reuse", "spoil", "turn"))
        target, given, value = self._target(request), None, None
        values: list[Any] = []
        with self._mode(request["layer"]):
            for args in request["calls"]:
                args = (_copied(value), *args) if turn and values else args  # nothing else than what it says
                given = _written_over(given, args) if reuse and given is not None else args
                try:
                    value = target(*given)
                except Exception as error:
                    if not turn or not values:
                        raise
                    return {"value": values, "broke": told(error, self.file, self.tree)}
                values.append(_copied(value) if reuse or spoil or turn else value)
                if spoil and _spoils(value, given):
                    values[-1] = Opaque("a view of what was handed in")
        return {"value": values}

    def _mode(self, layer: int | None) -> torch.set_grad_enabled:
        return torch.set_grad_enabled(self.records and (layer is None or self.grads.get(layer, True)))

    def _peak(self, request: dict[str, Any]) -> dict[str, Any]:
        """The memory that a call takes. What comes expanded, to be small on the way, is made solid before."""
        target, layer = self._target(request), self.layers.get(request["layer"], nn.Module())
        args = [_solid(arg) for arg in request["args"]]
        given = [*layer.parameters(), *layer.buffers(), *_tensors(args), *self.objects.tensors()]
        return {"value": None, "peak": peak_bytes(lambda: target(*args), given)}

    def _gradients(self, request: dict[str, Any], target: Callable[..., Any]) -> dict[str, Any]:
        given = [each for each in _tensors(request["args"]) if each.is_floating_point()]
        wanted = request["leaves"] if isinstance(request["leaves"], list) else [request["leaves"]] * len(given)
        inputs = [each.requires_grad_(leaf) for each, leaf in zip(given, wanted, strict=True)]
        value = target(*request["args"], **request["kwargs"])
        pairs = [(output, each) for output, each in weighted(value, request["cotangent"]) if output.requires_grad]
        if pairs:
            # a sum, because backward with a gradient argument makes PyTorch import sympy (0.3 s)
            sum((output * each).sum() for output, each in pairs).backward()  # type: ignore[union-attr]
        layer = self.layers[request["layer"]] if request["layer"] is not None else nn.Module()
        parameters = {name: parameter.grad for name, parameter in layer.named_parameters()}
        for parameter in layer.parameters():
            parameter.grad = None
        return {"value": value, "input_grads": [x.grad for x in inputs], "parameter_grads": parameters}

    def _decode(self, request: dict[str, Any]) -> dict[str, Any]:
        """A plan of steps (layer, x, which earlier step's cache goes in), in this process: shared storage shows."""
        outputs: list[Any] = []
        caches: list[Any] = []
        for index, (layer, x, parent) in enumerate(request["steps"]):
            with self._mode(layer):
                value = self.layers[layer](x) if parent is None else self.layers[layer](x, caches[parent])
            if not (isinstance(value, tuple | list) and len(value) == 2):
                return {"value": [outputs, caches], "odd": [index, Opaque(describe(value))]}
            outputs.append(value[0])
            caches.append(value[1])
        return {"value": [outputs, caches]}

    def _target(self, request: dict[str, Any]) -> Callable[..., Any]:
        layer, symbol = request["layer"], request["symbol"]
        target: Callable[..., Any] = self.layers[layer] if layer is not None else getattr(self.module, symbol)
        return getattr(target, request["method"]) if request.get("method") else target

    def _state(self, request: dict[str, Any]) -> dict[str, Any]:
        """The parameters of a layer as they are, and the gradients that the last call left in them."""
        parameters = dict(self.layers[request["layer"]].named_parameters())
        return {"value": parameters, "grads": {name: parameter.grad for name, parameter in parameters.items()}}

    def _misfit(self, request: dict[str, Any], error: BaseException) -> Misfit | None:
        """The error in plain words where what was called takes other arguments than it was called with."""
        if type(error) is not TypeError or frames(error, self.file) or request["do"] in UNSIGNED:
            return None
        if request["do"] == "build":
            name = request["class"]
            return other_signature(name, getattr(self.module, name), (), (), request["kwargs"])
        symbol, layer = request["symbol"], self.layers.get(request["layer"])
        args = request["calls"][0] if request["do"] == "several" else request["args"]
        function, name = getattr(self.module, symbol), symbol
        if request["do"] == "make":
            function, name = functools.partial(function.__init__, None), f"{symbol}.__init__"
        elif layer is not None:
            method = request.get("method") or "forward"
            function, name = getattr(layer, method), f"{symbol}.{method}"
        return other_signature(name, function, self.signatures.get(name, []), args, request.get("kwargs", {}))


def _lines(tree: ast.Module) -> dict[str, int]:
    """Where functions, and the forward methods of classes, begin."""
    named = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    lines = {node.name: node.lineno for node in named}
    for owner in (node for node in named if isinstance(node, ast.ClassDef)):
        methods = (node for node in owner.body if isinstance(node, ast.FunctionDef))
        lines.update((owner.name, method.lineno) for method in methods if method.name == "forward")
    return lines


def weighted(value: Any, cotangent: Any) -> list[tuple[Tensor, Tensor]]:
    """The outputs whose gradients are asked for, each with its cotangent: the first alone where there is one of these.

    What was returned may be anything: where it has too few outputs, the others are left out.
    """
    outputs = value if isinstance(value, tuple) else (value,)
    cotangents = cotangent if isinstance(cotangent, tuple) else (cotangent,)
    return list(zip(outputs, cotangents, strict=False))


def _aliases(values: Any) -> Any:
    """Tensors that lie where those in the values do, whatever becomes of these."""
    if isinstance(values, dict):
        return {name: _aliases(value) for name, value in values.items()}
    if isinstance(values, tuple | list):
        return type(values)(_aliases(value) for value in values)
    return values.detach() if isinstance(values, Tensor) else values


def _written_over(given: Any, new: Any) -> Any:
    """What was given, with the numbers of what is new in the same memory."""
    if isinstance(given, tuple | list):
        return type(given)(_written_over(old, each) for old, each in zip(given, new, strict=True))
    return given.copy_(new) if isinstance(given, Tensor) else new


def _copied(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return tuple(_copied(item) for item in value)
    return value.clone() if isinstance(value, Tensor) else value


def _spoils(value: Any, given: Any) -> bool:
    """Write over the memory of a value and of what it is a view of; whether that is a tensor that was given."""
    theirs = {tensor.untyped_storage().data_ptr() for tensor in _tensors(given)} - {0}
    storages = [tensor.untyped_storage() for tensor in _tensors(value)]
    for storage in storages:
        storage.fill_(0)  # type: ignore[attr-defined]
    return any(storage.data_ptr() in theirs for storage in storages)


def _solid(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_solid(item) for item in value)
    return value.contiguous() if isinstance(value, Tensor) else value


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    return [tensor for value in values for tensor in _tensors(value)] if isinstance(values, tuple | list) else []
