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
