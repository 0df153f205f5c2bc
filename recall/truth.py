"""What a PyTorch model attends with, told by its own modules.

A table maps module classes to families and says where the number of heads
stands. While the model runs once, each call of such a module is one block.
Every softmax and fused attention call that happens inside none of them is
reported, so that the table cannot silently miss a class.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Block:
    """One call of a module that attends, gates or mixes."""

    module: str
    cls: str
    family: str
    heads: int | None = None
    query_tokens: int | None = None
    key_tokens: int | None = None
    mechanism: str = "softmax"


@dataclass
class Core:
    """One softmax, or one fused attention, with the shapes that it saw and whether later keys were masked."""

    kind: str
    shapes: list[tuple[int, ...]]
    causal: bool = False
    # What the map is made from: the scores, or queries and keys.
    read: tuple[Tensor, ...] = ()


HEAD_NAMES = (
    "num_heads", "num_attention_heads", "n_heads", "heads", "n_head", "nhead", "num_head",
)  # fmt: skip


def heads_of(module: nn.Module) -> int | None:
    for name in HEAD_NAMES:
        value = getattr(module, name, None)
        if isinstance(value, int):
            return value
    config = getattr(module, "config", None)
    value = getattr(config, "num_attention_heads", None)
    return value if isinstance(value, int) else None


Rule = str | Callable[[nn.Module, "Tracer", str], str | None]


def partition(module: nn.Module, tracer: Tracer, name: str) -> str:
    """MaxViT's attention is told by the partition around it; CoAtNet has none."""
    parent = tracer.modules.get(name.rpartition(".")[0])
    kind = getattr(parent, "partition_block", None)
    if kind is not None:
        return "window" if kind else "grid"
    return "self"


def reduced(module: nn.Module, tracer: Tracer, name: str) -> str:
    reduction = getattr(module, "sr_ratio", getattr(module, "sequences_reduction_ratio", 1))
    if getattr(module, "pool", None) is not None or getattr(module, "linear_attention", False):
        return "spatial-reduction"
    if getattr(module, "sr", None) is not None and not isinstance(module.sr, nn.Identity):
        return "spatial-reduction"
    return "spatial-reduction" if reduction > 1 else "self"


def told_by_source(module: nn.Module, tracer: Tracer, name: str) -> str:
    """Self-attention or cross-attention, told by the arguments of the call."""
    return "cross" if tracer.is_cross else "self"


def by_lengths(module: nn.Module, tracer: Tracer, name: str) -> str:
    """For modules whose arguments do not tell: as many queries as keys is self-attention."""
    queries, keys = tracer.core_lengths
    return "self" if queries == keys else "cross"


def one_query(module: nn.Module, tracer: Tracer, name: str) -> str:
    return "class"


def windowed(module: nn.Module, tracer: Tracer, name: str) -> str:
    size = getattr(module, "window_size", 0)
    if not isinstance(size, int):
        return "window"
    return "window" if size > 0 else "self"


def windowed_parent(module: nn.Module, tracer: Tracer, name: str) -> str:
    return windowed(tracer.modules[name.rpartition(".")[0]], tracer, name)


def hiera(module: nn.Module, tracer: Tracer, name: str) -> str:
    if getattr(module, "use_mask_unit_attn", False):
        return "window"
    return "pooled" if getattr(module, "q_stride", getattr(module, "query_stride", 1)) > 1 else "self"


def grouped(module: nn.Module, tracer: Tracer, name: str) -> str:
    if getattr(module, "num_kv_heads", heads_of(module)) != heads_of(module):
        return "gqa"
    return "gqa" if getattr(module, "num_key_value_groups", 1) > 1 else "self"


def mqa(module: nn.Module, tracer: Tracer, name: str) -> str:
    return "gqa"


def multiscale(module: nn.Module, tracer: Tracer, name: str) -> str:
    pools = [getattr(module, f"pool_{part}", None) for part in "qkv"]
    return "pooled" if any(pool is not None for pool in pools) else "self"


def channels_or_none(module: nn.Module, tracer: Tracer, name: str) -> str:
    return "channel-gate"


# Class name (regular expression over `module.ClassName`) to family and where heads stand. The first that fits wins;
# None means that the class is no block of its own and what happens in it is known not to be attention.
# A module of these families in which nothing was normalized only wraps the one that attends.
NEEDS_CORE = {"self", "cross", "class", "window", "grid", "gqa", "spatial-reduction", "pooled", "talking-heads"}
TABLE: list[tuple[str, Rule | None, object]] = [
    # --- timm ---
    (r"timm\.models\.cait\.ClassAttn$", "class", None),
    (r"timm\.models\.cait\.TalkingHeadAttn$", "talking-heads", None),
    (r"timm\.models\.xcit\.XCA$", "cross-covariance", None),
    (r"timm\.models\.edgenext\.CrossCovarianceAttn$", "cross-covariance", None),
    (r"timm\.models\.coat\.FactorAttn_ConvRelPosEnc$|coat\.FactorAttnConvRelPosEnc$", "factorized", None),
    (r"timm\.models\.convit\.(GPSA|MHSA)$", "self", None),
    (r"timm\.models\.crossvit\.CrossAttention$", "class", None),
    (r"timm\.models\.davit\.ChannelAttention(V2)?$", "cross-covariance", lambda m: getattr(m, "num_heads", None) or getattr(m, "groups", None)),
    (r"timm\.models\.davit\.WindowAttention$", "window", None),
    (r"timm\.models\.efficientformer_v2\.Attention2d$", "talking-heads", None),
    (r"timm\.models\.efficientformer_v2\.Attention2dDownsample$", "pooled", None),
    (r"timm\.models\.efficientvit_mit\.LiteMLA$", "linear", lambda m: None),
    (r"timm\.models\.efficientvit_msra\.CascadedGroupAttention$", "cascaded", lambda m: m.num_heads),
    (r"timm\.models\.gcvit\.WindowAttentionGlobal$", "window", None),
    (r"timm\.models\.hiera\.MaskUnitAttention$", hiera, lambda m: m.heads),
    (r"timm\.models\.hieradet_sam2\.MultiScaleAttention$", windowed_parent, None),
    (r"timm\.models\.levit\.Attention(Downsample)?$", "self", None),
    (r"timm\.models\.gemma4_vit\.Gemma4Attention$", grouped, None),
    (r"timm\.models\.iformer\.SHMA$", windowed, lambda m: 1),
    (r"timm\.models\.senet\.SEModule$", "channel-gate", lambda m: None),
    (r"timm\.models\.vision_transformer\.(Diff)?ParallelScalingBlock$", "self", None),
    (r"timm\.models\.efficientvim\.HSMSSD$", None, None),
    # Queries and keys alike are of a coarser grid.
    (r"timm\.models\.(lowformer|cpubone)\.ConvAttention$", "self", None),
    (r"timm\.models\.maxxvit\.Attention(Cl|2d)$", partition, None),
    (r"timm\.models\.mobilevit\.LinearSelfAttention$", "linear", lambda m: None),
    (r"timm\.models\.mvitv2\.MultiScaleAttention(PoolFirst)?$", multiscale, None),
    (r"timm\.models\.nest\.Attention$", "window", None),
    (r"timm\.models\.nextvit\.EfficientAttention$", lambda m, t, n: "spatial-reduction" if m.sr_ratio > 1 else "self", lambda m: m.num_heads),
    (r"timm\.models\.pvt_v2\.Attention$", reduced, None),
    (r"timm\.models\.swiftformer\.EfficientAdditiveAttention$", "additive", lambda m: None),
    (r"timm\.models\.swin_transformer(_v2|_v2_cr)?\.Window\w*Attention$", "window", None),
    (r"timm\.models\.tiny_vit\.Attention$", "window", None),
    (r"timm\.models\.twins\.LocallyGroupedAttn$", "window", None),
    (r"timm\.models\.twins\.GlobalSubSampleAttn$", reduced, None),
    (r"timm\.models\.vision_transformer_sam\.Attention$", windowed_parent, None),
    (r"timm\.models\.volo\.OutlookAttention$", "outlook", None),
    (r"timm\.models\.volo\.ClassAttention$", "class", None),
    (r"timm\.models\.csatv2\.SpatialAttention$", "spatial-gate", lambda m: None),
    (r"timm\.models\.mlp_mixer\.MixerBlock$|timm\.models\.mlp_mixer\.ResBlock$", "token-mixing", lambda m: None),
    (r"timm\.models\.mlp_mixer\.SpatialGatingUnit$", "token-mixing", lambda m: None),
    (r"timm\.models\.(metaformer|poolformer|efficientformer)\.Pooling$", "token-mixing", lambda m: None),
    (r"timm\.models\.byobnet\.SelfAttnBlock$", None, None),
    (r"timm\.models\._efficientnet_blocks\.SqueezeExcite$", "channel-gate", lambda m: None),
    (r"timm\.models\.shvit\.SHSA$", "self", lambda m: 1),
    (r"timm\.layers\.attention2d\.MultiQueryAttention(V2|2d)$", mqa, lambda m: m.num_heads),
    (r"timm\.layers\.attention_pool\.\w+$", "cross", None),
    (r"timm\.layers\.attention_pool2d\.\w+$", "class", None),
    (r"timm\.layers\.bottleneck_attn\.BottleneckAttn$", "self", None),
    (r"timm\.layers\.halo_attn\.HaloAttn$", "window", None),
    (r"timm\.layers\.lambda_layer\.LambdaLayer$", "factorized", None),
    (r"timm\.layers\.cbam\.(Light)?ChannelAttn$", "channel-gate", lambda m: None),
    (r"timm\.layers\.cbam\.(Light)?SpatialAttn$", "spatial-gate", lambda m: None),
    (r"timm\.layers\.coord_attn\.\w+$", "spatial-gate", lambda m: None),
    (r"timm\.layers\.(eca\.\w+|squeeze_excite\.\w*(SE|Squeeze)\w*|gather_excite\.GatherExcite)$", "channel-gate", lambda m: None),
    (r"timm\.layers\.global_context\.GlobalContext$", "global-context", lambda m: None),
    (r"timm\.layers\.non_local_attn\.NonLocalAttn$", "non-local", lambda m: None),
    (r"timm\.layers\.non_local_attn\.BatNonLocalAttn$", None, None),
    (r"timm\.layers\.(selective_kernel|split_attn)\.\w+$", None, None),
    (r"timm\.layers\.diff_attention\.DiffAttention$", "self", None),
    (r"timm\.(models|layers)\.\w+\.\w*(Attention|Attn|MHSA)(Rope|2d)?$", "self", None),
    # --- transformers ---
    (r"transformers\..*(Swin|Swinv2|DonutSwin|MaskFormerSwin)\w*SelfAttention$|transformers\..*\.SwinAttention$", "window", None),
    (r"transformers\..*(MultiheadAttentionPoolingHead|AttentionPoolingHead)$", None, None),
    (r"transformers\..*Pvt\w*SelfAttention$", lambda m, t, n: "spatial-reduction" if getattr(m, "sequences_reduction_ratio", getattr(m, "spatial_reduction_ratio", 1)) > 1 or getattr(m, "linear_attention", False) else "self", None),
    (r"transformers\..*(SegformerAttention|GLPNEfficientSelfAttention)$", lambda m, t, n: "spatial-reduction" if t.core_lengths[0] > t.core_lengths[1] else "self", None),
    (r"transformers\..*\.MultiScaleDeformableAttention$", None, None),
    (r"transformers\..*MultiscaleDeformableAttention$", "deformable", None),
    (r"transformers\..*MHAttentionMap$", None, None),
    (r"transformers\..*CrossAttention$", "cross", None),
    (r"transformers\..*HieraMaskUnitAttention$", hiera, None),
    (r"transformers\..*CvtSelfAttention$", lambda m, t, n: "spatial-reduction" if t.core_lengths[0] > t.core_lengths[1] else "self", lambda m: m.num_heads),
    (r"transformers\..*LevitAttention(Subsample)?$", "self", None),
    (r"transformers\..*MobileViTV2LinearSelfAttention$", "linear", lambda m: None),
    (r"transformers\..*SwiftFormerEfficientAdditiveAttention$", "additive", lambda m: None),
    (r"transformers\..*PoolFormerPooling$", "token-mixing", lambda m: None),
    (r"transformers\..*VitDetAttention$", windowed_parent, None),
    (r"transformers\..*GroupViTAssignAttention$", None, None),
    (r"transformers\..*(Llama|Qwen\w+|Mistral|Gemma\w*|GptOss|Falcon)Attention$", grouped, None),
    (r"transformers\..*NystromformerSelfAttention$", "linear", None),
    (r"transformers\..*PerceiverSelfAttention$", by_lengths, None),
    (r"transformers\..*\.DabDetrAttention$", by_lengths, None),
    (r"transformers\..*Sam2MultiScaleAttention$", windowed_parent, None),
    (r"transformers\..*MgpstrA3Module$", "global-context", lambda m: None),
    (r"transformers\..*Blip2QFormerMultiHeadAttention$", told_by_source, None),
    (r"transformers\..*SamVision(Sdpa)?Attention$", windowed_parent, None),
    (r"transformers\..*ModernBertAttention$", lambda m, t, n: "window" if m.sliding_window else "self", None),
    (r"transformers\..*(Self|MultiHead|Vision|Text)?Attention$", told_by_source, None),
    # --- PyTorch ---
    (r"torch\.nn\.modules\.activation\.MultiheadAttention$", told_by_source, None),
]


def masks_later(kind: str, scores: Tensor) -> bool:
    """Whether all scores of keys behind their query are those of a mask."""
    if kind != "softmax" or scores.ndim < 3 or scores.shape[-1] != scores.shape[-2] or scores.shape[-1] < 3:
        return False
    later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return bool((scores[..., later] < -1e4).all())


class Tracer:
    """Runs a model once and gathers its blocks."""

    def __init__(self, model: nn.Module, extra: list[tuple[str, Rule | None, object]]) -> None:
        self.modules = dict(model.named_modules())
        self.table = [(re.compile(pattern), rule, heads) for pattern, rule, heads in extra + TABLE]
        self.blocks: list[Block] = []
        # What each block gave, and what its maps were made from, where these are tensors.
        self.results: list[tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = []
        self.stack: list[tuple[str, nn.Module, list[Core]]] = []
        self.uncovered: list[str] = []
        self.is_cross = False
        self.core_lengths = (0, 0)
        self.call_inputs: list[tuple] = []

    def entry(self, module: nn.Module) -> tuple[Rule | None, object] | None:
        name = f"{type(module).__module__}.{type(module).__qualname__}"
        own = getattr(module, "attention_family", None)
        if own is not None:
            return own, (lambda m: getattr(m, "attention_heads", None))
        for pattern, rule, heads in self.table:
            if pattern.search(name):
                return rule, heads
        return None

    def before(self, name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict) -> None:
            self.stack.append((name, module, []))
            self.call_inputs.append((args, kwargs))

        return hook

    def after(self, name: str) -> Callable:
        def hook(module: nn.Module, args: tuple, kwargs: dict, output: object) -> None:
            _, _, cores = self.stack.pop()
            given = self.call_inputs.pop()
            found = self.entry(module)
            if found is None or found[0] is None:
                # What happened inside belongs to whoever stands around it.
                if found is None and self.stack:
                    self.stack[-1][2].extend(cores)
                elif found is None:
                    self.complain(name, cores)
                return
            self.make(name, module, found, cores, given, output)

        return hook

    def make(self, name: str, module: nn.Module, found: tuple, cores: list[Core], given: tuple, output: object) -> None:
        rule, heads = found
        self.is_cross = Tracer.sources_differ(*given)
        queries = keys = None
        if cores:
            first = cores[-1]
            if first.kind == "fused":
                queries, keys = first.shapes[0][-2], first.shapes[1][-2]
            else:
                queries, keys = first.shapes[0][-2:] if len(first.shapes[0]) > 1 else (None, None)
            self.core_lengths = (queries or 0, keys or 0)
        family = rule if isinstance(rule, str) else rule(module, self, name)
        if family is None or (family in NEEDS_CORE and not cores and not hasattr(module, "attention_family")):
            return
        if family == "self" and cores and all(core.causal for core in cores):
            family = "causal"
        count = heads(module) if callable(heads) else heads_of(module)
        self.blocks.append(Block(name, type(module).__name__, family, count, queries, keys, getattr(module, "attention_mechanism", "softmax")))
        first = output[0] if isinstance(output, tuple) and output else output
        given_out = (first.detach().clone(),) if isinstance(first, Tensor) else ()
        self.results.append((given_out, tuple(value for core in cores for value in core.read)))

    @staticmethod
    def sources_differ(args: tuple, kwargs: dict) -> bool:
        """Whether keys come from another tensor than queries, position embeddings aside."""
        for key in ("encoder_hidden_states", "key_value_states", "cross_attn_hidden_states"):
            if isinstance(kwargs.get(key), Tensor):
                return True
        named = [kwargs.get(name) for name in ("query", "key")]
        if all(isinstance(value, Tensor) for value in named):
            return named[0].shape != named[1].shape
        tensors = [value for value in args if isinstance(value, Tensor)]
        if len(tensors) >= 3 and tensors[0].ndim == tensors[1].ndim == 3:
            return tensors[0].shape != tensors[1].shape
        return False

    def complain(self, name: str, cores: list[Core]) -> None:
        for core in cores:
            self.uncovered.append(f"{name or '(model)'}: {core.kind} {core.shapes}")

    def core(self, kind: str, *tensors: Tensor) -> None:
        if self.stack:
            read = tuple(t.detach().clone() for t in tensors[:2])
            self.stack[-1][2].append(Core(kind, [tuple(t.shape) for t in tensors], masks_later(kind, tensors[0]), read))

    def run(self, model: nn.Module, inputs: tuple) -> list[Block]:
        handles = []
        for name, module in self.modules.items():
            handles.append(module.register_forward_pre_hook(self.before(name), with_kwargs=True))
            handles.append(module.register_forward_hook(self.after(name), with_kwargs=True))
        fused, plain = F.scaled_dot_product_attention, F.softmax
        of_tensor, of_torch = Tensor.softmax, torch.softmax
        inside = [0]

        def watched(original: Callable, kind: str, count: int) -> Callable:
            def call(*args, **kwargs):
                if not inside[0]:
                    self.core(kind, *[a for a in args[:count] if isinstance(a, Tensor)])
                inside[0] += 1
                try:
                    return original(*args, **kwargs)
                finally:
                    inside[0] -= 1

            return call

        try:
            F.scaled_dot_product_attention = watched(fused, "fused", 3)
            F.softmax = watched(plain, "softmax", 1)
            torch.softmax = watched(of_torch, "softmax", 1)
            Tensor.softmax = watched(of_tensor, "softmax", 1)
            with torch.no_grad():
                model(*inputs)
        finally:
            F.scaled_dot_product_attention, F.softmax = fused, plain
            torch.softmax, Tensor.softmax = of_torch, of_tensor
            for handle in handles:
                handle.remove()
        return self.blocks


def others(inputs: tuple) -> tuple:
    """Inputs of the same shapes with other numbers: each is mirrored along its last axis that is not even."""
    changed = []
    for value in inputs:
        axes = [axis for axis in range(1, value.ndim) if not torch.equal(value, value.flip(axis))]
        changed.append(value.flip(axes[-1]) if axes else value)
    return tuple(changed)


def blocks(
    model: nn.Module, inputs: tuple, extra: list[tuple[str, Rule | None, object]] | None = None
) -> tuple[list[dict], list[str]]:
    """The blocks of a model, and each softmax that belongs to none of them.

    What attends alike to every input is marked as constant: the first layer of a detector's decoder asks with learned queries alone, so
    that their self-attention is a constant and the weights of their deformable attention are; exporters and readers may fold
    them, and then no map is left.
    """
    tracer, second = Tracer(model, extra or []), Tracer(model, extra or [])
    try:
        tracer.run(model, inputs)
        second.run(model, others(inputs))
    except Exception:
        traceback.print_exc()
        raise

    def alike(one: tuple[Tensor, ...], other: tuple[Tensor, ...]) -> bool:
        return bool(one) and len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))

    constant = [False] * len(tracer.blocks)
    if len(tracer.results) == len(second.results):
        pairs = zip(tracer.results, second.results, strict=True)
        constant = [alike(one[0], other[0]) or alike(one[1], other[1]) for one, other in pairs]
    kept = [asdict(block) | ({"constant": True} if same else {}) for block, same in zip(tracer.blocks, constant, strict=True)]
    return kept, tracer.uncovered
