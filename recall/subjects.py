"""The models of the zoo, in tiny configurations: timm, transformers, and hand-written families with controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import families as f
import mechanisms


@dataclass(frozen=True)
class Subject:
    build: Callable[[], nn.Module]
    inputs: Callable[[], tuple]
    group: str
    # What is known of the model as a whole: prefix tokens, grid, patch size.
    facts: dict = field(default_factory=dict)
    # Whether softmaxes outside of known modules are expected.
    quiet: bool = False


SUBJECTS: dict[str, Subject] = {}


def image(size: int = 32, batch: int = 2, channels: int = 3) -> Callable[[], tuple]:
    return lambda: (torch.randn(batch, channels, size, size),)


# --- timm ---


class Features(nn.Module):
    """A model whose first output only is wanted."""

    def __init__(self, model: nn.Module, pick: Callable = lambda out: out) -> None:
        super().__init__()
        self.m, self.pick = model, pick

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.pick(self.m(*inputs))


def timm_model(name: str, arch: str, size: int = 32, **config) -> None:
    facts = config.pop("facts", {})

    def build() -> nn.Module:
        import timm

        return timm.create_model(arch, pretrained=False, num_classes=10, **config)

    SUBJECTS[f"timm_{name}"] = Subject(build, image(size), "timm", facts)


def timm_class(name: str, place: str, size: int, **config) -> None:
    """A class of timm itself, where its factories fix what should be small."""

    def build() -> nn.Module:
        import importlib

        from timm.models import metaformer

        def found(value: str) -> type:
            module, _, cls = value.partition(":")
            return getattr(importlib.import_module(f"timm.models.{module}"), cls)

        def meaning(value: object) -> object:
            if value == "gmlp":
                from timm.layers import GatedMlp

                return GatedMlp
            if isinstance(value, str) and ":" in value:
                return found(value)
            return value

        values = {key: meaning(value) for key, value in config.items()}
        if values.get("token_mixers") == "caformer":
            values["token_mixers"] = [metaformer.SepConv, metaformer.SepConv, metaformer.Attention, metaformer.Attention]
            values["norm_layers"] = [metaformer.LayerNorm2dNoBias] * 2 + [metaformer.LayerNormNoBias] * 2
        return found(place)(num_classes=10, **values)

    SUBJECTS[f"timm_{name}"] = Subject(build, image(size), "timm")


def mvit(name: str, **config) -> None:
    def build() -> nn.Module:
        from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg

        return MultiScaleVit(MultiScaleVitCfg(**config), img_size=64, num_classes=10)

    SUBJECTS[f"timm_{name}"] = Subject(build, image(64), "timm")


VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 4}


def vit_facts(prefix: int, grid: int = 4, patch: int = 8) -> dict:
    return {"prefix_tokens": prefix, "grid": [grid, grid], "patch": [patch, patch]}


timm_model("vit", "vit_tiny_patch16_224", **VIT, facts=vit_facts(1))
timm_model("vit_gap", "vit_small_patch16_224", **VIT, class_token=False, global_pool="avg", facts=vit_facts(0))
timm_model("vit_qknorm", "vit_tiny_patch16_224", **VIT, qk_norm=True, init_values=0.1, facts=vit_facts(1))
timm_model("vit_reg4_dinov2", "vit_small_patch14_reg4_dinov2", **VIT, facts=vit_facts(5))
timm_model("vit_swiglu", "vit_giant_patch14_dinov2", **{**VIT, "mlp_ratio": 2}, facts=vit_facts(1))
timm_model("vit_siglip", "vit_base_patch16_siglip_224", **VIT, facts=vit_facts(0))
timm_model("vit_clip", "vit_base_patch32_clip_224", **VIT, facts=vit_facts(1))
timm_model("vit_parallel", "vit_small_patch16_36x1_224", **VIT, facts=vit_facts(1))
timm_model("vit_relpos", "vit_relpos_small_patch16_224", **VIT, facts=vit_facts(0))
timm_model("vit_rope", "vit_small_patch16_rope_224", **VIT, facts=vit_facts(1))
timm_model("vit_rope_mixed", "vit_small_patch16_rope_mixed_224", **VIT, facts=vit_facts(1))
timm_model("vit_dinov3", "vit_small_patch16_dinov3", **VIT, facts=vit_facts(5))
timm_model("vit_little", "vit_little_patch16_reg4_gap_256", **VIT, facts=vit_facts(4))
timm_model("naflexvit", "naflexvit_base_patch16_gap", img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4)
timm_model("deit", "deit_tiny_patch16_224", **VIT, facts=vit_facts(1))
timm_model("deit_distilled", "deit_tiny_distilled_patch16_224", **VIT, facts=vit_facts(2))
timm_model("deit3", "deit3_small_patch16_224", **VIT, facts=vit_facts(1))
timm_model("beit", "beit_base_patch16_224", **VIT, facts=vit_facts(1))
timm_model("beitv2", "beitv2_base_patch16_224", **VIT, facts=vit_facts(1))
timm_model("eva", "eva_giant_patch14_224", **VIT, facts=vit_facts(1))
timm_model("eva02", "eva02_tiny_patch14_224", **{**VIT, "num_heads": 2}, facts=vit_facts(1))
timm_model("samvit", "samvit_base_patch16", **VIT, window_size=2, global_attn_indexes=(1,))
timm_model("cait", "cait_xxs24_224", img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4)
timm_model("xcit", "xcit_nano_12_p16_224", size=64, img_size=64, embed_dim=32, depth=2, num_heads=4)
timm_model("xcit_p8", "xcit_nano_12_p8_224", size=32, img_size=32, embed_dim=32, depth=2, num_heads=4)
timm_model("swin", "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4))
timm_model("swin_wide", "swin_tiny_patch4_window7_224", size=64, img_size=64, window_size=4, embed_dim=16, depths=(2, 2, 2), num_heads=(1, 2, 4))
timm_model("swin_s3", "swin_s3_tiny_224", size=64, img_size=64, window_size=(4, 4, 4, 2), embed_dim=16, depths=(1, 1, 2, 1), num_heads=(2, 2, 4, 4))
timm_model("swinv2", "swinv2_tiny_window8_256", size=64, img_size=64, window_size=8, embed_dim=16, depths=(2, 2), num_heads=(2, 4))
timm_model("swinv2_cr", "swinv2_cr_tiny_224", size=64, img_size=64, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4))
timm_model("twins_pcpvt", "twins_pcpvt_small", size=64, img_size=64, embed_dims=(16, 32, 48, 64), num_heads=(1, 2, 4, 8), depths=(1, 1, 1, 1))
timm_model("twins_svt", "twins_svt_small", size=128, img_size=128, embed_dims=(16, 32, 48, 64), num_heads=(2, 2, 4, 8), depths=(2, 2, 2, 2), wss=(4, 4, 4, 4))
timm_model("pvt_v2", "pvt_v2_b0", size=64, embed_dims=(16, 32, 40, 64), depths=(1, 1, 1, 1), num_heads=(1, 2, 5, 8))
timm_model("pvt_v2_li", "pvt_v2_b2_li", size=64, embed_dims=(16, 32, 40, 64), depths=(1, 1, 1, 1), num_heads=(1, 2, 5, 8))
mvit("mvitv2", depths=(1, 1, 2, 1), embed_dim=16)
mvit("mvitv2_cls", depths=(1, 1, 1, 1), embed_dim=16, use_cls_token=True)
timm_model("hiera", "hiera_tiny_224", size=224, embed_dim=16, num_heads=1, stages=(1, 1, 2, 1))
timm_model("sam2_hiera", "sam2_hiera_tiny", size=64, embed_dim=16, num_heads=1, stages=(1, 2, 2, 1), global_att_blocks=(4,), window_spec=(4, 4, 4, 2))
timm_model("levit", "levit_128s", size=224)
timm_model("levit_conv", "levit_conv_128s", size=224)
timm_model("efficientformer", "efficientformer_l1", size=224, embed_dims=(16, 16, 24, 48), depths=(1, 1, 1, 2))
timm_model("efficientformerv2", "efficientformerv2_s0", size=224, embed_dims=(16, 16, 24, 32), depths=(1, 1, 2, 2))
timm_model("efficientvit_mit", "efficientvit_b0", size=64, widths=(8, 16, 16, 32, 32), depths=(1, 1, 1, 1, 1), head_widths=(64, 64))
timm_model("efficientvit_mit_large", "efficientvit_l1", size=64, widths=(8, 16, 16, 32, 64), depths=(1, 1, 1, 1, 1), head_widths=(64, 64))
timm_model("efficientvit_msra", "efficientvit_m0", size=224)
timm_model("edgenext", "edgenext_xx_small", size=64, dims=(16, 32, 48, 64), depths=(1, 2, 2, 2))
timm_model("mobilevit", "mobilevit_xxs", size=128)
timm_model("mobilevitv2", "mobilevitv2_050", size=128)
timm_model("mobilenetv4_hybrid", "mobilenetv4_hybrid_medium", size=64)
timm_model("maxvit", "maxvit_tiny_tf_224", size=64, img_size=64, embed_dim=(32, 64), depths=(1, 1), block_type=("M", "M"), stem_width=(8, 8))
timm_model("maxvit_rmlp", "maxvit_rmlp_pico_rw_256", size=64, img_size=64, embed_dim=(32, 32), depths=(1, 1), block_type=("M", "M"), stem_width=(8, 8))
timm_model("coatnet", "coatnet_nano_rw_224", size=64, img_size=64, embed_dim=(32, 32, 32, 64), depths=(1, 1, 1, 2), stem_width=(8, 8))
timm_model("coatnet_0", "coatnet_rmlp_nano_rw_224", size=64, img_size=64, embed_dim=(32, 32, 32, 64), depths=(1, 1, 1, 1), stem_width=(8, 8))
timm_model("maxxvit", "maxxvit_rmlp_nano_rw_256", size=64, img_size=64, embed_dim=(32, 32), depths=(1, 1), block_type=("M", "M"), stem_width=(8, 8))
timm_model("coat", "coat_tiny", size=64, img_size=64, embed_dims=(32, 32, 32, 32), serial_depths=(1, 1, 1, 1), parallel_depth=1, num_heads=8)
timm_model("coat_lite", "coat_lite_tiny", size=64, img_size=64, embed_dims=(16, 32, 32, 64), serial_depths=(1, 1, 1, 1), num_heads=8)
timm_model("convit", "convit_tiny", img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=4, local_up_to_layer=2)
timm_model("crossvit", "crossvit_9_240", size=48, img_size=48, patch_size=(12, 16), embed_dim=(16, 32), depth=((1, 2, 0),), num_heads=(2, 2), img_scale=(1.0, 1.0))
timm_model("davit", "davit_tiny", size=64, embed_dims=(16, 32, 32, 64), depths=(1, 1, 1, 1), num_heads=(2, 4, 4, 4), window_size=4)
timm_model("davit_v2", "davit_tiny", size=64, embed_dims=(16, 32), depths=(1, 1), num_heads=(2, 4), window_size=4, channel_attn_v2=True)
timm_class("gcvit", "gcvit:GlobalContextVit", 64, img_size=64, window_ratio=(16, 16, 16, 32), embed_dim=16, depths=(2, 2, 2, 2), num_heads=(2, 2, 4, 4))
timm_class("focalnet", "focalnet:FocalNet", 64, embed_dim=16, depths=(1, 1, 1, 1))
timm_class("nest", "nest:Nest", 64, img_size=64, embed_dims=(16, 32, 64), depths=(1, 1, 2), num_heads=(2, 2, 4))
timm_model("pit", "pit_ti_224", size=64, img_size=64, base_dims=(8, 8, 8), depth=(1, 1, 1), heads=(2, 4, 8))
timm_model("pit_distilled", "pit_ti_distilled_224", size=64, img_size=64, base_dims=(8, 8, 8), depth=(1, 1, 1), heads=(2, 4, 8))
timm_class("poolformer", "metaformer:MetaFormer", 64, dims=(16, 16, 32, 64), depths=(1, 1, 1, 1), layer_scale_init_values=1e-1)
timm_class("poolformerv2", "metaformer:MetaFormer", 64, dims=(16, 16, 32, 64), depths=(1, 1, 1, 1))
timm_class("caformer", "metaformer:MetaFormer", 64, dims=(16, 16, 32, 64), depths=(1, 1, 1, 1), token_mixers="caformer")
timm_class("convformer", "metaformer:MetaFormer", 64, dims=(16, 16, 32, 64), depths=(1, 1, 1, 1), token_mixers="metaformer:SepConv")
timm_class("mixer", "mlp_mixer:MlpMixer", 32, img_size=32, patch_size=8, embed_dim=32, num_blocks=2)
timm_class("resmlp", "mlp_mixer:MlpMixer", 32, img_size=32, patch_size=8, embed_dim=32, num_blocks=2, mlp_ratio=4, block_layer="mlp_mixer:ResBlock", norm_layer="mlp_mixer:Affine")
timm_class("gmlp", "mlp_mixer:MlpMixer", 32, img_size=32, patch_size=8, embed_dim=32, num_blocks=2, mlp_ratio=6, block_layer="mlp_mixer:SpatialGatingBlock", mlp_layer="gmlp")
timm_model("sequencer", "sequencer2d_s", size=56, img_size=56, embed_dims=(16, 16, 16, 16), hidden_sizes=(4, 4, 4, 4), layers=(1, 1, 1, 1))
timm_model("tnt", "tnt_s_patch16_224", size=64, img_size=64, embed_dim=32, inner_dim=16, depth=2, num_heads_outer=4, num_heads_inner=2)
timm_model("visformer", "visformer_tiny", size=64, img_size=64, embed_dim=32, depth=(1, 1, 1), num_heads=4)
timm_class("volo", "volo:VOLO", 64, layers=(1, 1, 1, 1), img_size=64, embed_dims=(16, 32, 32, 32), num_heads=(2, 4, 4, 4), use_aux_head=False)
timm_model("nextvit", "nextvit_small", size=64, depths=(1, 1, 5, 2))
timm_model("fastvit", "fastvit_sa12", size=64, embed_dims=(16, 32, 64, 64), layers=(1, 1, 1, 1))
timm_model("repvit", "repvit_m1", size=64, embed_dim=(16, 16, 32, 32), depth=(1, 1, 1, 1))
timm_model("tiny_vit", "tiny_vit_5m_224", size=64, embed_dims=(16, 32, 32, 64), depths=(1, 2, 2, 2), num_heads=(1, 2, 2, 4), window_sizes=(4, 4, 4, 2))
timm_model("inception_next", "inception_next_atto", size=64)
timm_model("halonet", "halonet26t", size=256)
timm_model("lambda_resnet", "lambda_resnet26t", size=64)
timm_model("botnet", "botnet26t_256", size=64, img_size=64)
timm_model("eca_botnext", "eca_botnext26ts_256", size=64, img_size=64)
timm_model("sehalonet", "sehalonet33ts", size=256)
timm_model("bat_resnext", "bat_resnext26ts", size=256)
timm_model("gcresnext", "gcresnext26ts", size=64)
timm_model("seresnext", "seresnext26ts", size=64)
timm_model("ecaresnet", "ecaresnet26t", size=64)
timm_model("cbam_resnet", "resnet18", size=64, block_args={"attn_layer": "cbam"})
timm_model("ge_resnet", "resnet18", size=64, block_args={"attn_layer": "se"})
timm_model("nl_resnet", "resnet26", size=64, block_args={"attn_layer": "nl"})
timm_model("skresnet", "skresnet18", size=64)
timm_model("resnest", "resnest14d", size=64)
timm_model("regnety", "regnety_002", size=64)
timm_model("mobilenetv3", "mobilenetv3_small_050", size=64)
timm_model("efficientnet", "efficientnet_lite0", size=64)
timm_model("efficientnet_se", "efficientnet_b0", size=64)
timm_model("vovnet_ese", "ese_vovnet19b_slim_dw", size=64)
timm_model("ghostnet", "ghostnet_050", size=64)
timm_model("ghostnetv2", "ghostnetv2_100", size=64)
timm_model("starnet", "starnet_s050", size=64)
timm_model("mambaout", "mambaout_femto", size=64)
timm_model("shvit", "shvit_s1", size=128)
timm_model("swiftformer", "swiftformer_xs", size=64)
timm_model("convnext", "convnext_atto", size=64, dims=(16, 16, 32, 32), depths=(1, 1, 1, 1))
timm_model("convnextv2", "convnextv2_atto", size=64, dims=(16, 16, 32, 32), depths=(1, 1, 1, 1))
timm_model("resnet", "resnet18", size=64)
timm_model("densenet", "densenet121", size=64)
timm_class("convmixer", "convmixer:ConvMixer", 32, dim=32, depth=2, kernel_size=5, patch_size=4)
timm_model("hgnet", "hgnetv2_b0", size=64)
timm_model("test_vit3", "test_vit3", size=160)
timm_model("vitamin", "vitamin_small_224", size=224)


# --- transformers ---

TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32, "patch_size": 8}


def hf(name: str, model: str, config: str, inputs: Callable[[], tuple] | None = None, pick: Callable | None = None, build: Callable | None = None, **values) -> None:
    facts = values.pop("facts", {})
    quiet = values.pop("quiet", False)

    def make() -> nn.Module:
        import transformers

        made = getattr(transformers, config)(**values) if not build else build(transformers)
        made._attn_implementation = "eager"
        kind = getattr(transformers, model)
        whole = kind._from_config(made) if hasattr(kind, "_from_config") else kind(made)
        return First(whole, pick)

    SUBJECTS[f"hf_{name}"] = Subject(make, inputs or image(32), "transformers", facts, quiet)


class First(nn.Module):
    """The logits or last hidden state of a model of transformers."""

    def __init__(self, model: nn.Module, pick: Callable | None) -> None:
        super().__init__()
        self.m, self.pick = model, pick

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.pick:
            return self.pick(self.m, *inputs)
        out = self.m(*inputs, return_dict=True)
        for key in ("logits", "pooler_output_only", "last_hidden_state"):
            if getattr(out, key, None) is not None:
                return getattr(out, key)
        return out[0]


def words(length: int = 12, batch: int = 2, vocabulary: int = 90) -> Callable[[], tuple]:
    return lambda: (torch.randint(3, vocabulary, (batch, length)),)


SWIN = {"image_size": 32, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
LM = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}

hf("vit", "ViTForImageClassification", "ViTConfig", **TINY, facts=vit_facts(1))
hf("deit", "DeiTForImageClassificationWithTeacher", "DeiTConfig", **TINY, facts=vit_facts(2))
hf("beit", "BeitForImageClassification", "BeitConfig", **TINY, use_relative_position_bias=True, facts=vit_facts(1))
hf("data2vec", "Data2VecVisionForImageClassification", "Data2VecVisionConfig", **TINY, use_relative_position_bias=True, facts=vit_facts(1))
hf("swin", "SwinForImageClassification", "SwinConfig", **SWIN)
hf("swin_wide", "SwinForImageClassification", "SwinConfig", inputs=image(64), **{**SWIN, "image_size": 64})
hf("swinv2", "Swinv2ForImageClassification", "Swinv2Config", inputs=image(64), **{**SWIN, "image_size": 64, "window_size": 8})
hf("donut_swin", "DonutSwinModel", "DonutSwinConfig", **SWIN)
hf("clip", "CLIPVisionModel", "CLIPVisionConfig", **TINY, facts=vit_facts(1))
hf("clip_text", "CLIPTextModel", "CLIPTextConfig", inputs=words(), **LM, max_position_embeddings=20)
hf("siglip", "SiglipVisionModel", "SiglipVisionConfig", pick=lambda m, x: m(x).pooler_output, **TINY, facts=vit_facts(0))
hf("siglip_text", "SiglipTextModel", "SiglipTextConfig", inputs=words(), **LM, max_position_embeddings=20)
hf("dinov2", "Dinov2Model", "Dinov2Config", **TINY, facts=vit_facts(1))
hf("dinov2_swiglu", "Dinov2Model", "Dinov2Config", **TINY, use_swiglu_ffn=True, facts=vit_facts(1))
hf("dinov2_registers", "Dinov2WithRegistersModel", "Dinov2WithRegistersConfig", **TINY, facts=vit_facts(5))
hf("dinov3", "DINOv3ViTModel", "DINOv3ViTConfig", **TINY, num_register_tokens=4, facts=vit_facts(5))
hf("ijepa", "IJepaModel", "IJepaConfig", **TINY, facts=vit_facts(0))
hf("vit_msn", "ViTMSNModel", "ViTMSNConfig", **TINY, facts=vit_facts(1))
hf("yolos", "YolosForObjectDetection", "YolosConfig", **{**TINY, "image_size": [32, 32]}, num_detection_tokens=6)
hf("dpt", "DPTForDepthEstimation", "DPTConfig", pick=lambda m, x: m(x).predicted_depth, **{**TINY, "num_hidden_layers": 4}, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8, reassemble_factors=[4, 2, 1, 0.5])
hf("segformer", "SegformerForSemanticSegmentation", "SegformerConfig", inputs=image(64), hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4], decoder_hidden_size=16)
hf("glpn", "GLPNForDepthEstimation", "GLPNConfig", inputs=image(64), pick=lambda m, x: m(x).predicted_depth, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4], decoder_hidden_size=16)
hf("pvt", "PvtForImageClassification", "PvtConfig", inputs=image(64), image_size=64, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4])
hf("pvt_v2", "PvtV2ForImageClassification", "PvtV2Config", inputs=image(64), image_size=64, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4])
hf("pvt_v2_linear", "PvtV2ForImageClassification", "PvtV2Config", inputs=image(64), image_size=64, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 4, 4], linear_attention=True)
hf("cvt", "CvtForImageClassification", "CvtConfig", inputs=image(64), embed_dim=[16, 32, 32], num_heads=[1, 2, 4], depth=[1, 2, 3], drop_path_rate=[0.0, 0.0, 0.0], cls_token=[False, False, True])
hf("levit", "LevitForImageClassification", "LevitConfig", inputs=image(64), image_size=64, hidden_sizes=[32, 48, 64], num_attention_heads=[2, 3, 4], depths=[1, 1, 1], key_dim=[8, 8, 8])
hf("mobilevit", "MobileViTForImageClassification", "MobileViTConfig", inputs=image(128), image_size=128, hidden_sizes=[16, 32, 48], neck_hidden_sizes=[8, 8, 16, 16, 24, 24, 64])
hf("mobilevitv2", "MobileViTV2ForImageClassification", "MobileViTV2Config", inputs=image(128), image_size=128, width_multiplier=0.25, base_attn_unit_dims=[64, 96, 128], n_attn_blocks=[1, 1, 1])
hf("hiera", "HieraForImageClassification", "HieraConfig", inputs=image(64), image_size=[64, 64], embed_dim=16, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], masked_unit_size=[8, 8])
hf("vitdet", "VitDetModel", "VitDetConfig", hidden_size=32, num_hidden_layers=3, num_attention_heads=4, image_size=64, pretrain_image_size=64, patch_size=8, window_block_indices=[0, 2], window_size=4, use_relative_position_embeddings=True, inputs=image(64))
hf("videomae", "VideoMAEModel", "VideoMAEConfig", inputs=lambda: (torch.randn(1, 4, 3, 16, 16),), **{**TINY, "image_size": 16}, num_frames=4)
hf("timesformer", "TimesformerModel", "TimesformerConfig", inputs=lambda: (torch.randn(1, 3, 3, 16, 16),), **{**TINY, "image_size": 16}, num_frames=3)
hf("vivit", "VivitModel", "VivitConfig", inputs=lambda: (torch.randn(1, 4, 3, 16, 16),), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, image_size=16, num_frames=4, tubelet_size=[2, 8, 8])
hf("poolformer", "PoolFormerForImageClassification", "PoolFormerConfig", inputs=image(64), hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1])
hf("swiftformer", "SwiftFormerForImageClassification", "SwiftFormerConfig", inputs=image(64), embed_dims=[16, 16, 32, 32], depths=[1, 1, 1, 1])
hf("bit", "BitForImageClassification", "BitConfig", inputs=image(64), embedding_size=16, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], num_groups=4)
hf("convnext", "ConvNextForImageClassification", "ConvNextConfig", inputs=image(64), hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1])
hf("resnet", "ResNetForImageClassification", "ResNetConfig", inputs=image(64), embedding_size=16, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1])
hf("regnet", "RegNetForImageClassification", "RegNetConfig", inputs=image(64), embedding_size=16, hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1], groups_width=8)
hf("focalnet", "FocalNetForImageClassification", "FocalNetConfig", inputs=image(64), image_size=64, embed_dim=16, depths=[1, 1, 1, 1])
hf("detr", "DetrModel", "DetrConfig", inputs=image(64), use_timm_backbone=False, backbone=None, use_pretrained_backbone=False, d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=6)
hf("deformable_detr", "DeformableDetrModel", "DeformableDetrConfig", inputs=image(64), use_timm_backbone=False, backbone=None, use_pretrained_backbone=False, d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=6)

hf("owlvit", "OwlViTVisionModel", "OwlViTVisionConfig", **TINY, facts=vit_facts(1))
hf("groupvit", "GroupViTVisionModel", "GroupViTVisionConfig", hidden_size=32, intermediate_size=64, depths=[1, 1, 1], num_hidden_layers=3, num_attention_heads=4, num_group_tokens=[8, 4, 0], num_output_groups=[8, 4, 0], image_size=32, patch_size=8, quiet=True)
hf("blip2_qformer", "Blip2QFormerModel", "Blip2QFormerConfig", inputs=lambda: (torch.randn(2, 6, 32), torch.randn(2, 17, 32)), pick=lambda m, q, e: m(query_embeds=q, encoder_hidden_states=e).last_hidden_state, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, encoder_hidden_size=32, cross_attention_frequency=1)
hf("blip_vision", "BlipVisionModel", "BlipVisionConfig", **TINY)
hf("vitpose", "VitPoseBackbone", "VitPoseBackboneConfig", pick=lambda m, x: m(x).feature_maps[-1], **{**TINY, "image_size": [32, 32], "patch_size": [8, 8]})
hf("sam_vision", "SamVisionModel", "SamVisionConfig", inputs=image(64), hidden_size=32, output_channels=16, num_hidden_layers=2, num_attention_heads=4, image_size=64, patch_size=8, window_size=4, global_attn_indexes=[1], mlp_dim=64, num_pos_feats=8)
hf("gpt2", "GPT2LMHeadModel", "GPT2Config", inputs=words(), n_embd=32, n_layer=2, n_head=4, vocab_size=99, n_positions=20, use_cache=False)
hf("llama", "LlamaForCausalLM", "LlamaConfig", inputs=words(), **LM, num_key_value_heads=2, use_cache=False, pick=lambda m, x: m(x, use_cache=False).logits)
hf("llama_mha", "LlamaForCausalLM", "LlamaConfig", inputs=words(), **LM, num_key_value_heads=4, pick=lambda m, x: m(x, use_cache=False).logits)
hf("bert", "BertModel", "BertConfig", inputs=words(), **LM)
hf("distilbert", "DistilBertModel", "DistilBertConfig", inputs=words(), vocab_size=99, dim=32, n_layers=2, n_heads=4, hidden_dim=64)
hf("bloom", "BloomModel", "BloomConfig", inputs=words(), vocab_size=99, hidden_size=32, n_layer=2, n_head=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("t5_encoder", "T5EncoderModel", "T5Config", inputs=words(), vocab_size=99, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
hf("qwen2", "Qwen2Model", "Qwen2Config", inputs=words(), **LM, num_key_value_heads=2, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)


# --- hand-written ---


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

for _name, (_make, _inputs) in mechanisms.MODELS.items():
    SUBJECTS[f"mechanism_{_name}"] = Subject(_make, _inputs, "mechanisms")
