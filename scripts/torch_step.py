"""The joint step in plain PyTorch, the yardstick of `bench_step.py`.

The same networks, losses and optimizer as `dst_jax.train.make_train_step`, written as
one would write them in PyTorch: modules, autograd, SGD with momentum, the teacher under
`no_grad`. Parameters come from our own variables, so that both sides can be asked for
the same numbers.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch_dlf import adapters_like_ours, make_adapters, pair, point
from torch_plain import Network
from torch_residual import ResidualCorrelation, ResidualNetwork
from torch_terms import (
    Answer,
    Targets,
    adaptive_hard,
    gate,
    knowledge_sharing,
    known_terms,
    target_response,
    task,
    teacher_soft,
)

from dst_jax.arch import ConvSpec, TrackerSpec, tracker_cost
from dst_jax.distill import (
    DistillConfig,
    Hard,
    Pair,
    Point,
    Response,
    Sharing,
    Soft,
    Task,
    Term,
    of_adapters,
    of_network,
)
from dst_jax.models import Variables
from dst_jax.train import OptimConfig


class Seen(NamedTuple):
    """What the terms read of a batch: all answers, the teacher's, and the targets."""

    students: Mapping[str, Answer]
    teacher: Answer
    targets: Targets
    epoch: float


class TorchStep:
    """Teacher forward, students forward and back, and their optimizers."""

    def __init__(
        self,
        teacher: tuple[TrackerSpec, Variables],
        students: Mapping[str, tuple[TrackerSpec, Variables]],
        config: DistillConfig,
        optim: OptimConfig,
        *,
        layout: torch.memory_format = torch.contiguous_format,
        device: str = "cpu",
    ):
        self.optim, self.layout, self.device = optim, layout, device
        self.specs = {name: spec for name, (spec, _) in students.items()}
        self.sizes = {n: tracker_cost(s).parameters for n, s in self.specs.items()}
        self.teacher_spec = teacher[0]
        self.teacher = self._network(*teacher).eval()
        self.students = {n: self._network(*s).train() for n, s in students.items()}
        self.adapters = {
            name: make_adapters(of_adapters(variables["params"])).to(device)
            for name, (_, variables) in students.items()
        }
        self.terms = {
            f"{name}/{key}": (term.weight, self._value(name, key, term))
            for name in students
            for key, term in known_terms(config).items()
        }
        self.optimizers = {
            name: torch.optim.SGD(
                self.parameters(name),
                lr=optim.learning_rate,
                momentum=optim.momentum,
                weight_decay=optim.weight_decay,
            )
            for name in students
        }
        self.computed: Callable[..., dict[str, torch.Tensor]] = self.objective

    def compile(self, mode: str) -> None:
        """Has PyTorch's compiler make one program of networks and terms."""
        self.computed = torch.compile(self.objective, mode=mode, dynamic=False)

    def parameters(self, student: str) -> list[torch.nn.Parameter]:
        """What a student learns, its adapters included."""
        parts = self.students[student], self.adapters[student]
        return [value for part in parts for value in part.parameters()]

    def parameters_like_ours(self, student: str) -> dict[str, Any]:
        """The same in the layout of our own, on the host."""
        found = self.students[student].parameters_like_ours()
        if adapters := adapters_like_ours(self.adapters[student]):
            found["adapters"] = adapters
        return found

    def _network(self, spec: TrackerSpec, variables: Variables) -> Any:
        chain: Any = spec.backbone
        if all(isinstance(layer, ConvSpec) for layer in chain.layers):
            network = Network(spec)
        else:
            residual = ResidualNetwork if spec.head.levels else ResidualCorrelation
            network = residual(spec)
        network.load({**variables, "params": of_network(variables["params"])})
        return network.to(self.device, memory_format=self.layout)  # pyright: ignore[reportCallIssue]

    def place(self, images: torch.Tensor) -> torch.Tensor:
        """Moves images to the networks' device and layout."""
        images = images.to(self.device).float()
        return images.contiguous(memory_format=self.layout)

    def _value(self, name: str, key: str, term: Term) -> Callable[[Seen], torch.Tensor]:
        """A student's term, unweighted, as a function of what is seen."""
        spec = self.specs[name]
        match term:
            case Task():
                return lambda seen: task(seen.students[name], seen.targets)
            case Hard(margin=margin):
                return lambda seen: adaptive_hard(
                    seen.students[name], seen.teacher, seen.targets, margin=margin
                )
            case Soft():
                return lambda seen: teacher_soft(
                    seen.students[name], seen.teacher, seen.targets
                )
            case Response(layers=layers):
                names = [j if isinstance(j, str) else f"conv{j}" for j in layers]
                return lambda seen: target_response(
                    seen.students[name], seen.teacher, names
                )
            case Sharing():
                return lambda seen: self._shared(name, term, seen)
            case Point():
                between = term.layers_of(spec, self.teacher_spec)
                own: Any = self.adapters[name][key]
                return lambda seen: point(
                    term, between, own, (seen.students[name], seen.teacher)
                )
            case Pair():
                between = term.layers_of(spec, self.teacher_spec)
                return lambda seen: pair(
                    term, between, (seen.students[name], seen.teacher)
                )
        raise AssertionError(term)  # see `known_terms`

    def _shared(self, name: str, sharing: Sharing, seen: Seen) -> torch.Tensor:
        answer = seen.students[name]
        opened = gate(answer, seen.teacher, seen.targets, margin=sharing.margin)
        total = torch.zeros((), device=self.device)
        for peer, other in seen.students.items():
            if peer != name:
                larger = self.sizes[peer] > self.sizes[name]
                beta = 1.0 if larger else sharing.discount
                total = total + beta * knowledge_sharing(answer, other)
        decay = sharing.decay**seen.epoch
        return decay * opened / (len(seen.students) - 1) * total

    def objective(
        self,
        template: torch.Tensor,
        search: torch.Tensor,
        targets: Targets,
        epoch: float,
    ) -> dict[str, torch.Tensor]:
        """Terms "student/term", weighted as they enter the sum."""
        with torch.no_grad():
            aim = self.teacher(template, search)
        answers = {n: net(template, search) for n, net in self.students.items()}
        seen = Seen(answers, aim, targets, epoch)
        return {
            name: weight * value(seen) for name, (weight, value) in self.terms.items()
        }

    def learn(
        self,
        template: torch.Tensor,
        search: torch.Tensor,
        targets: Targets,
        *,
        epoch: float = 0.0,
    ) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        """One step on crops; returns the terms and each student's gradient norm."""
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        terms = self.computed(template, search, targets, epoch)
        torch.stack(list(terms.values())).sum().backward()
        limit = self.optim.clip_norm or float("inf")
        norms = {
            name: torch.nn.utils.clip_grad_norm_(self.parameters(name), limit)
            for name in self.students
        }
        for optimizer in self.optimizers.values():
            optimizer.step()
        return terms, norms
