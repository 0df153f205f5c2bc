"""Stacks of the modules of `families`, and controls without attention."""

from __future__ import annotations

from collections.abc import Callable

import families as f
import torch
from torch import nn

from subjects.registry import SUBJECTS, Subject, image



def tokens(name: str, *make: Callable[[], nn.Module], grid: int = 4) -> None:
    SUBJECTS[f"own_{name}"] = Subject(lambda: f.Stack([m() for m in make], images=False), image(4 * grid), "families")


def images(name: str, *make: Callable[[], nn.Module], grid: int = 8) -> None:
    SUBJECTS[f"own_{name}"] = Subject(lambda: f.Stack([m() for m in make], images=True), image(4 * grid), "families")


def plain(name: str, make: Callable[[], nn.Module], *shapes: tuple[int, ...], group: str = "families") -> None:
    SUBJECTS[f"own_{name}"] = Subject(make, lambda: tuple(torch.randn(2, *shape) for shape in shapes), group)


def control(name: str, make: Callable[[], nn.Module], *shapes: tuple[int, ...]) -> None:
    SUBJECTS[f"control_{name}"] = Subject(make, lambda: tuple(torch.randn(2, *shape) for shape in shapes), "controls", quiet=True)


tokens("einsum", f.EinsumLast, f.EinsumKeysFirst)
tokens("einsum_packed", f.EinsumRearranged)
tokens("merged_batch", f.MergedBatch, f.SequenceFirst)
images("channels_first", f.ChannelsFirst, grid=4)
images("diffusion", f.DiffusionSpatial, grid=4)
tokens("chunked", f.Chunked)
tokens("safe_softmax", f.SafeSoftmax, f.SplitScale)
tokens("late_normalized", f.LateNormalized)
tokens("plus_one", f.PlusOne)
tokens("sink", f.Sink)
tokens("head_gated", f.HeadGated)
tokens("shared_qk", f.SharedQueryKey)
tokens("no_projection", f.NoProjection)
tokens("differential", f.Differential)
tokens("alibi", f.Alibi)
tokens("causal", f.CausalFill, f.CausalFused)
tokens("rotary", f.Rotary, lambda: f.Rotary(interleaved=True))
tokens("rotary_pairs", f.RotaryPairs)
tokens("gqa", f.GroupedExpand, lambda: f.GroupedExpand(how="interleave"))
tokens("gqa_broadcast", lambda: f.GroupedExpand(how="broadcast"))
tokens("gqa_fused", lambda: f.GroupedExpand(how="fused"))
tokens("mqa", f.MultiQuery)
tokens("cosine", f.Cosine)
tokens("qk_norm", f.NormedHeads, lambda: f.NormedHeads(rms=True))
tokens("capped", f.Capped)
tokens("relative_product", f.RelativeProduct)
tokens("relative_gather", f.RelativeGather)
plain("cross", lambda: f.TwoInputs(f.Cross()), (9, 32), (14, 32))
plain("cross_alike", lambda: f.TwoInputs(f.Cross()), (9, 32), (9, 32))
plain("latents", f.Latents, (14, 32))
images("axial", f.AxialRows, lambda: f.AxialRows(columns=True))
images("criss_cross", f.CrissCross)
images("window", f.Windowed, lambda: f.Windowed(shift=2), lambda: f.Windowed(grid=True))
images("non_local", f.NonLocal, grid=4)
images("non_local_dot", lambda: f.NonLocal(softmax=False), grid=4)
images("non_local_pooled", lambda: f.NonLocal(pooled=True), grid=4)
images("global_context", f.GlobalContext, lambda: f.GlobalContext(multiplies=True), grid=4)
tokens("external", f.External)
images("halo", f.Halo)
images("deformable", f.Deformable, grid=4)
images("sampled_keys", f.SampledKeys, grid=8)
tokens("positional_gate", f.PositionalGate)
tokens("talking_heads", f.TalkingHeads, lambda: f.TalkingHeads(convolves=True))
tokens("linear", f.Linear, lambda: f.Linear("relu"))
tokens("linear_einsum", lambda: f.Linear(einsum=True), lambda: f.Linear("softplus", einsum=True))
tokens("linear_plain", lambda: f.Linear("square"), lambda: f.Linear("exp", normalizes=False))
tokens("efficient", f.Efficient)
tokens("performer", f.Performer)
tokens("nystrom", f.Nystrom)
tokens("linformer", f.Linformer)
tokens("sigmoid", f.Sigmoid)
tokens("squared_relu", f.SquaredReLU, lambda: f.SquaredReLU(squares=False))
tokens("bahdanau", f.Bahdanau)
tokens("fastformer", f.Fastformer)
tokens("separable", f.Separable)
tokens("attention_pooling", f.AttentionPooling)
images("outlook", f.Outlook, grid=4)
tokens("cross_covariance", f.CrossCovariance, lambda: f.CrossCovariance(normalizes=False))
images("restormer", f.Transposed, grid=4)
images("channel_map", f.ChannelMap, grid=4)
tokens("class", f.ClassAttention)
tokens("reduced", f.Reduced, lambda: f.Reduced(how="pool"), grid=8)
images("se", f.SqueezeExcite, lambda: f.SqueezeExcite(kind="hard"), grid=4)
images("ese_eca", lambda: f.SqueezeExcite(kind="ese"), lambda: f.SqueezeExcite(kind="eca"), grid=4)
images("cbam", lambda: f.ChannelPart(), f.SpatialPart, grid=8)
tokens("token_mlp", f.TokenMlp, lambda: f.TokenMlp(gates=True))
plain("torch_encoder", lambda: f.Encoder("encoder"), (9, 32))
plain("torch_sequence_first", lambda: f.Encoder("sequence-first"), (9, 32))
plain("torch_decoder", lambda: f.Encoder("decoder"), (9, 32), (14, 32))
plain("torch_mha_weights", lambda: f.Encoder("weights"), (9, 32))
plain("torch_mha", lambda: f.Encoder("alone"), (9, 32))

control("expert_gate", f.ExpertGate, (9, 32))
control("detection_head", f.DetectionHead, (3, 32, 32))
control("codebook", f.Codebook, (9, 32))
control("gumbel", f.Gumbel, (9, 32))
control("temperature", f.Temperature, (9, 32))
control("lstm", f.Recurrent, (9, 32))
control("pooling", f.SoftPool, (3, 32, 32))
control("bilinear", f.Bilinear, (3, 32, 32))
control("contrastive", f.Contrastive, (9, 32))
control("gated_unit", f.GatedUnit, (9, 32))
