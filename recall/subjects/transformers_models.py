"""Models of transformers in tiny configurations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from subjects.registry import SUBJECTS, Subject, image, vit_facts, words

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

# Detectors and segmenters.
RESNET = {"model_type": "resnet", "embedding_size": 16, "hidden_sizes": [16, 16, 32, 32], "depths": [1, 1, 1, 1], "out_features": ["stage2", "stage3", "stage4"]}
DETECTOR = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "num_queries": 6}


def with_resnet(kind: str, **values) -> Callable:
    """A detector's configuration around a small residual network."""

    def make(transformers: object) -> object:
        backbone = transformers.ResNetConfig(**{key: value for key, value in RESNET.items() if key != "model_type"})
        return getattr(transformers, kind)(backbone_config=backbone, **values)

    return make


hf("conditional_detr", "ConditionalDetrModel", "", inputs=image(64), build=with_resnet("ConditionalDetrConfig", use_timm_backbone=False, **DETECTOR))
hf("table_transformer", "TableTransformerModel", "", inputs=image(64), build=with_resnet("TableTransformerConfig", use_timm_backbone=False, **DETECTOR))
hf("dab_detr", "DabDetrModel", "", inputs=image(64), build=with_resnet("DabDetrConfig", use_timm_backbone=False, hidden_size=32, **{key: value for key, value in DETECTOR.items() if key != "d_model"}))
hf("rt_detr", "RTDetrModel", "", inputs=image(64), build=with_resnet("RTDetrConfig", d_model=32, encoder_hidden_dim=32, encoder_in_channels=[16, 32, 32], encoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=4, decoder_ffn_dim=64, decoder_layers=2, num_queries=6, decoder_in_channels=[32, 32, 32], num_denoising=0, anchor_image_size=None))
hf("rt_detr_v2", "RTDetrV2Model", "", inputs=image(64), build=with_resnet("RTDetrV2Config", d_model=32, encoder_hidden_dim=32, encoder_in_channels=[16, 32, 32], encoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=4, decoder_ffn_dim=64, decoder_layers=2, num_queries=6, decoder_in_channels=[32, 32, 32], num_denoising=0, anchor_image_size=None))
hf("d_fine", "DFineModel", "", inputs=image(64), build=with_resnet("DFineConfig", d_model=32, encoder_hidden_dim=32, encoder_in_channels=[16, 32, 32], encoder_ffn_dim=64, encoder_attention_heads=4, decoder_attention_heads=4, decoder_ffn_dim=64, decoder_layers=2, num_queries=6, decoder_in_channels=[32, 32, 32], num_denoising=0, anchor_image_size=None, hidden_expansion=0.5))
hf("maskformer_swin", "MaskFormerSwinBackbone", "MaskFormerSwinConfig", pick=lambda m, x: m(x).feature_maps[-1], **{**SWIN, "image_size": 64}, out_features=["stage2"], inputs=image(64))


def mask2former(transformers: object) -> object:
    swin = transformers.SwinConfig(**{**SWIN, "image_size": 64, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 4, 4]}, out_features=["stage1", "stage2", "stage3", "stage4"])
    return transformers.Mask2FormerConfig(backbone_config=swin, feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=64, encoder_layers=1, decoder_layers=3, num_attention_heads=4, dim_feedforward=64, num_queries=6)


def maskformer(transformers: object) -> object:
    swin = transformers.SwinConfig(**{**SWIN, "image_size": 64, "depths": [1, 1, 1, 1], "num_heads": [2, 2, 4, 4]}, out_features=["stage1", "stage2", "stage3", "stage4"])
    detr = transformers.DetrConfig(use_timm_backbone=False, **DETECTOR)
    return transformers.MaskFormerConfig(backbone_config=swin, decoder_config=detr, fpn_feature_size=32, mask_feature_size=32)


hf("mask2former", "Mask2FormerForUniversalSegmentation", "", inputs=image(64), build=mask2former, pick=lambda m, x: m(x).masks_queries_logits)
hf("maskformer", "MaskFormerForInstanceSegmentation", "", inputs=image(64), build=maskformer, pick=lambda m, x: m(x).masks_queries_logits)
hf("eomt", "EomtForUniversalSegmentation", "EomtConfig", inputs=image(32), **{**TINY, "num_hidden_layers": 3}, num_queries=6, num_blocks=1, num_upscale_blocks=1, num_register_tokens=2, pick=lambda m, x: m(x).masks_queries_logits)
hf("swin2sr", "Swin2SRForImageSuperResolution", "Swin2SRConfig", inputs=image(32), image_size=32, patch_size=1, embed_dim=24, depths=[2, 2], num_heads=[2, 2], window_size=4, pick=lambda m, x: m(x).reconstruction)
hf("vitmae", "ViTMAEModel", "ViTMAEConfig", **TINY, mask_ratio=0.0, inputs=lambda: (torch.randn(2, 3, 32, 32), torch.rand(2, 16)), pick=lambda m, x, noise: m(x, noise=noise).last_hidden_state)
hf("mgp_str", "MgpstrForSceneTextRecognition", "MgpstrConfig", inputs=image(32), image_size=[32, 32], patch_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, max_token_length=5, num_character_labels=10, num_bpe_labels=12, num_wordpiece_labels=12, pick=lambda m, x: torch.cat(m(x).logits, -1))
hf("depth_anything", "DepthAnythingForDepthEstimation", "", inputs=image(32), build=lambda t: t.DepthAnythingConfig(backbone_config=t.Dinov2Config(**{**TINY, "num_hidden_layers": 4}, out_features=["stage1", "stage2", "stage3", "stage4"], reshape_hidden_states=False), reassemble_hidden_size=32, patch_size=8, neck_hidden_sizes=[8, 8, 16, 16], fusion_hidden_size=8, head_hidden_size=8), pick=lambda m, x: m(x).predicted_depth)
hf("vitmatte", "VitMatteForImageMatting", "", inputs=image(64, channels=4), build=lambda t: t.VitMatteConfig(backbone_config=t.VitDetConfig(num_channels=4, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=64, pretrain_image_size=64, patch_size=16, window_block_indices=[0], window_size=2, use_relative_position_embeddings=True, out_features=["stage2"]), hidden_size=32, fusion_hidden_sizes=[16, 8, 8, 4], convstream_hidden_sizes=[8, 8, 8]), pick=lambda m, x: m(x).alphas)
hf("seggpt", "SegGptModel", "SegGptConfig", inputs=lambda: (torch.randn(1, 3, 32, 32), torch.randn(1, 3, 32, 32)), hidden_size=32, num_hidden_layers=3, num_attention_heads=4, mlp_dim=64, image_size=[64, 32], patch_size=8, merge_index=0, intermediate_hidden_state_indices=[2], pretrain_image_size=32, decoder_hidden_size=8, pick=lambda m, x, p: m(x, p, torch.zeros(1, 3, 32, 32)).last_hidden_state)

# Towers of larger models.
hf("siglip2", "Siglip2VisionModel", "Siglip2VisionConfig", inputs=lambda: (torch.randn(2, 16, 192),), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, patch_size=8, num_patches=16, pick=lambda m, x: m(x, torch.ones(2, 16, dtype=torch.long), torch.tensor([[4, 4], [4, 4]])).pooler_output)
hf("aimv2", "Aimv2VisionModel", "Aimv2VisionConfig", **TINY)
hf("mlcd", "MLCDVisionModel", "MLCDVisionConfig", **TINY)
hf("altclip_vision", "AltCLIPVisionModel", "AltCLIPVisionConfig", **TINY)
hf("chinese_clip_vision", "ChineseCLIPVisionModel", "ChineseCLIPVisionConfig", **TINY)
hf("clipseg_vision", "CLIPSegVisionModel", "CLIPSegVisionConfig", **TINY)
hf("owlv2", "Owlv2VisionModel", "Owlv2VisionConfig", **TINY)
hf("internvl_vision", "InternVLVisionModel", "InternVLVisionConfig", **{**TINY, "image_size": [32, 32], "patch_size": [8, 8]}, use_qk_norm=True)
hf("vjepa2", "VJEPA2Model", "VJEPA2Config", inputs=lambda: (torch.randn(1, 4, 3, 32, 32),), hidden_size=48, num_hidden_layers=2, num_attention_heads=2, crop_size=32, patch_size=8, frames_per_clip=4, tubelet_size=2, pred_hidden_size=24, pred_num_attention_heads=2, pred_num_hidden_layers=1, pick=lambda m, x: m(x, skip_predictor=True).last_hidden_state)
hf("ast", "ASTModel", "ASTConfig", inputs=lambda: (torch.randn(2, 32, 16),), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, patch_size=8, max_length=32, num_mel_bins=16, frequency_stride=8, time_stride=8)
hf("pix2struct", "Pix2StructVisionModel", "Pix2StructVisionConfig", inputs=lambda: (torch.cat([torch.randint(1, 4, (2, 10, 2)).float(), torch.randn(2, 10, 48)], -1),), hidden_size=32, patch_embed_hidden_size=48, d_ff=64, d_kv=8, num_hidden_layers=2, num_attention_heads=4, patch_size=4, seq_len=10)
hf("perceiver", "PerceiverModel", "PerceiverConfig", inputs=lambda: (torch.randn(2, 20, 32),), num_latents=6, d_latents=32, d_model=32, num_blocks=1, num_self_attends_per_block=2, num_self_attention_heads=4, num_cross_attention_heads=1)
hf("xclip_vision", "XCLIPVisionModel", "XCLIPVisionConfig", inputs=lambda: (torch.randn(4, 3, 32, 32),), **TINY, num_frames=4, mit_hidden_size=32, mit_intermediate_size=64, mit_num_hidden_layers=1, mit_num_attention_heads=4)
hf("idefics3_vision", "Idefics3VisionTransformer", "Idefics3VisionConfig", **TINY)
hf("phi4_vision", "Phi4MultimodalVisionModel", "Phi4MultimodalVisionConfig", pick=lambda m, x: m(x).pooler_output, **TINY)
hf("llama4_vision", "Llama4VisionModel", "Llama4VisionConfig", inputs=image(32), **{**TINY, "intermediate_size": 128}, vision_output_dim=32, projector_input_dim=32, projector_output_dim=32, pixel_shuffle_ratio=0.5)
hf("sam2_hiera", "Sam2HieraDetModel", "Sam2HieraDetConfig", inputs=image(64), image_size=[64, 64], hidden_size=16, num_attention_heads=1, blocks_per_stage=[1, 2, 2, 1], embed_dim_per_stage=[16, 32, 64, 128], num_attention_heads_per_stage=[1, 2, 4, 8], window_size_per_stage=[4, 2, 4, 2], global_attention_blocks=[4], window_positional_embedding_background_size=[4, 4], patch_kernel_size=[7, 7])
hf("imagegpt", "ImageGPTModel", "ImageGPTConfig", inputs=words(16), vocab_size=99, n_positions=20, n_embd=32, n_layer=2, n_head=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("textnet", "TextNetModel", "TextNetConfig", inputs=image(64), pick=lambda m, x: m(x).last_hidden_state, stem_out_channels=16, hidden_sizes=[16, 16, 16, 32, 32])
hf("dinov3_convnext", "DINOv3ConvNextModel", "DINOv3ConvNextConfig", inputs=image(64), hidden_sizes=[16, 16, 32, 32], depths=[1, 1, 1, 1])

# Language, sound and series.
hf("gpt_neox", "GPTNeoXModel", "GPTNeoXConfig", inputs=words(), **LM, rotary_pct=0.5, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("gptj", "GPTJModel", "GPTJConfig", inputs=words(), vocab_size=99, n_positions=20, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("opt", "OPTModel", "OPTConfig", inputs=words(), vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64, word_embed_proj_dim=32, max_position_embeddings=32, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("phi3", "Phi3Model", "Phi3Config", inputs=words(), **LM, num_key_value_heads=4, pad_token_id=0, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("gemma2", "Gemma2Model", "Gemma2Config", inputs=words(), **LM, num_key_value_heads=2, head_dim=8, sliding_window=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("qwen3", "Qwen3Model", "Qwen3Config", inputs=words(), **LM, num_key_value_heads=2, head_dim=8, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("gpt_oss", "GptOssModel", "GptOssConfig", inputs=words(), **LM, num_key_value_heads=2, head_dim=8, sliding_window=4, num_local_experts=2, num_experts_per_tok=1, pick=lambda m, x: m(x, use_cache=False).last_hidden_state, quiet=True)
hf("falcon", "FalconModel", "FalconConfig", inputs=words(), vocab_size=99, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("mpt", "MptModel", "MptConfig", inputs=words(), vocab_size=99, d_model=32, n_heads=4, n_layers=2, max_seq_len=20, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("roberta", "RobertaModel", "RobertaConfig", inputs=words(), **LM, max_position_embeddings=32)
hf("albert", "AlbertModel", "AlbertConfig", inputs=words(), **LM, embedding_size=16)
hf("electra", "ElectraModel", "ElectraConfig", inputs=words(), **LM, embedding_size=16)
hf("deberta", "DebertaModel", "DebertaConfig", inputs=words(), **LM, relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=16)
hf("deberta_v2", "DebertaV2Model", "DebertaV2Config", inputs=words(), **LM, relative_attention=True, pos_att_type=["p2c", "c2p"], max_relative_positions=16, position_buckets=8)
hf("mpnet", "MPNetModel", "MPNetConfig", inputs=words(), **LM)
hf("modernbert", "ModernBertModel", "ModernBertConfig", inputs=words(), **LM, local_attention=4, global_attn_every_n_layers=2, pad_token_id=0, reference_compile=False)
hf("roformer", "RoFormerModel", "RoFormerConfig", inputs=words(), **LM, embedding_size=32)
hf("squeezebert", "SqueezeBertModel", "SqueezeBertConfig", inputs=words(), **LM, embedding_size=32, q_groups=2, k_groups=2, v_groups=2, post_attention_groups=1, intermediate_groups=2, output_groups=2)
hf("fnet", "FNetModel", "FNetConfig", inputs=words(), vocab_size=99, hidden_size=32, num_hidden_layers=2, intermediate_size=64)
hf("mamba", "MambaModel", "MambaConfig", inputs=words(6), vocab_size=99, hidden_size=32, num_hidden_layers=1, state_size=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("t5", "T5Model", "T5Config", inputs=lambda: (torch.randint(3, 90, (2, 10)), torch.randint(3, 90, (2, 7))), vocab_size=99, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, pick=lambda m, x, y: m(input_ids=x, decoder_input_ids=y, use_cache=False).last_hidden_state)
hf("bart", "BartModel", "BartConfig", inputs=lambda: (torch.randint(3, 90, (2, 10)), torch.randint(3, 90, (2, 7))), vocab_size=99, max_position_embeddings=32, pick=lambda m, x, y: m(input_ids=x, decoder_input_ids=y, use_cache=False).last_hidden_state, **{key: value for key, value in DETECTOR.items() if key != "num_queries"})
hf("whisper", "WhisperModel", "WhisperConfig", inputs=lambda: (torch.randn(2, 16, 24), torch.randint(3, 90, (2, 7))), vocab_size=99, num_mel_bins=16, max_source_positions=12, max_target_positions=20, decoder_start_token_id=1, pad_token_id=0, eos_token_id=2, pick=lambda m, x, y: m(input_features=x, decoder_input_ids=y, use_cache=False).last_hidden_state, **{key: value for key, value in DETECTOR.items() if key != "num_queries"})
hf("wav2vec2", "Wav2Vec2Model", "Wav2Vec2Config", inputs=lambda: (torch.randn(2, 640),), **{key: value for key, value in LM.items() if key != "vocab_size"}, conv_dim=[16, 16], conv_stride=[5, 4], conv_kernel=[10, 8], num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
hf("wavlm", "WavLMModel", "WavLMConfig", inputs=lambda: (torch.randn(2, 640),), **{key: value for key, value in LM.items() if key != "vocab_size"}, conv_dim=[16, 16], conv_stride=[5, 4], conv_kernel=[10, 8], num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, num_buckets=8, max_bucket_distance=16)
hf("wav2vec2_conformer", "Wav2Vec2ConformerModel", "Wav2Vec2ConformerConfig", inputs=lambda: (torch.randn(2, 640),), **{key: value for key, value in LM.items() if key != "vocab_size"}, conv_dim=[16, 16], conv_stride=[5, 4], conv_kernel=[10, 8], num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, position_embeddings_type="relative")
hf("patchtst", "PatchTSTModel", "PatchTSTConfig", inputs=lambda: (torch.randn(2, 32, 3),), num_input_channels=3, context_length=32, patch_length=4, patch_stride=4, d_model=32, num_hidden_layers=2, num_attention_heads=4, ffn_dim=64)
hf("esm", "EsmModel", "EsmConfig", inputs=words(), **LM, pad_token_id=0, position_embedding_type="rotary", pick=lambda m, x: m(x, attention_mask=torch.ones_like(x)).last_hidden_state)
hf("diffllama", "DiffLlamaModel", "DiffLlamaConfig", inputs=words(), **LM, num_key_value_heads=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("codegen", "CodeGenModel", "CodeGenConfig", inputs=words(), vocab_size=99, n_positions=20, n_ctx=20, n_embd=32, n_layer=2, n_head=4, rotary_dim=4, pick=lambda m, x: m(x, use_cache=False).last_hidden_state)
hf("xlnet", "XLNetModel", "XLNetConfig", inputs=words(), vocab_size=99, d_model=32, n_layer=2, n_head=4, d_inner=64, pick=lambda m, x: m(x, use_mems=False).last_hidden_state)
hf("longformer", "LongformerModel", "LongformerConfig", inputs=words(8), **LM, attention_window=4, max_position_embeddings=20)
hf("big_bird", "BigBirdModel", "BigBirdConfig", inputs=words(16), **LM, attention_type="original_full", max_position_embeddings=32)
