"""Models of timm in tiny configurations."""

from __future__ import annotations

from torch import nn

from subjects.registry import SUBJECTS, Subject, image, vit_facts


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

# Towers of larger models, and convolutional networks with one kind of attention each.

timm_model("cpubone", "cpubone_nano", size=64, head_widths=(64, 64), depth_list=[0, 1, 1, 2, 2])
timm_model("deepseek_vit", "deepseek_vit_412m", size=48, img_size=48, patch_size=8, embed_dim=32, depth=2, num_heads=4)
timm_model("efficientvim", "efficientvim_m1", size=64, embed_dim=(16, 32, 32), depths=(1, 1, 1))
timm_model("fasternet", "fasternet_t0", size=64, embed_dim=16, depths=(1, 1, 1, 1), feature_dim=64)
timm_model("gemma4_vit", "gemma4_vit_167m", size=48, img_size=48, patch_size=8, embed_dim=32, depth=2, num_heads=4, head_dim=8, intermediate_size=64, position_embedding_size=64)
timm_model("gemma4_vit_gqa", "gemma4_vit_167m", size=48, img_size=48, patch_size=8, embed_dim=32, depth=2, num_heads=4, num_kv_heads=2, head_dim=8, intermediate_size=64, position_embedding_size=64)
timm_model("iformer", "iformer_t", size=64, dims=(16, 16, 32, 64), depths=(1, 1, 5, 4), attn_groups=(0, 0, 1, 1))
timm_model("lowformer", "lowformer_b0", size=64, head_widths=(64, 64), depth_list=[0, 1, 1, 2, 2])
timm_model("qwen3_vit", "qwen3_vit_88m", size=32, img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4, pos_embed_grid_size=4)
timm_model("rdnet", "rdnet_tiny", size=64, num_init_features=16, growth_rates=(16, 16, 16), num_blocks_list=(2, 2, 2), block_type=("Block", "BlockESE", "BlockESE"), is_downsample_block=(None, True, True))
timm_model("vit_hybrid", "vit_tiny_r_s16_p8_224", size=64, img_size=64, embed_dim=32, depth=2, num_heads=4)
timm_model("vit_pe", "vit_pe_core_base_patch16_224", **VIT)
timm_model("vit_pe_lang", "vit_pe_lang_large_patch14_448", **VIT)
timm_model("vit_wee", "vit_wee_patch16_reg1_gap_256", **VIT)
timm_model("vit_pwee", "vit_pwee_patch16_reg1_gap_256", **VIT)
timm_model("vit_dlittle", "vit_dlittle_patch16_reg1_gap_256", **VIT)
timm_model("vit_dwee", "vit_dwee_patch16_reg1_gap_256", **VIT)
timm_model("vit_dpwee", "vit_dpwee_patch16_reg1_gap_256", **VIT)
timm_model("vit_so150m", "vit_so150m_patch16_reg4_map_256", **VIT)
timm_model("vit_intern", "vit_intern300m_patch14_448", **VIT)
timm_model("aimv2", "aimv2_large_patch14_224", **{**VIT, "mlp_ratio": 2})
timm_model("vit_medium_gap", "vit_medium_patch16_gap_240", **VIT)
timm_model("vit_srelpos", "vit_srelpos_small_patch16_224", **VIT)
timm_model("vit_relpos_cls", "vit_relpos_base_patch16_clsgap_224", **VIT)
timm_model("vit_relpos_rpn", "vit_relpos_base_patch16_rpn_224", **VIT)
timm_model("vit_rope_ape", "vit_small_patch16_rope_mixed_ape_224", **VIT)
timm_model("vit_beta", "vit_betwixt_patch16_rope_reg4_gap_256", **VIT)
timm_model("eva02_swiglu", "eva02_large_patch14_224", **{**VIT, "num_heads": 2})
timm_model("eva02_clip", "eva02_base_patch16_clip_224", **{**VIT, "num_heads": 2})
timm_model("dinov3_qkvb", "vit_small_plus_patch16_dinov3_qkvb", **VIT)
timm_model("naflexvit_map", "naflexvit_base_patch16_map", img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4)
timm_model("naflexvit_par", "naflexvit_base_patch16_parfac_gap", img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=4)
timm_model("flexivit", "flexivit_small", **VIT)
timm_model("beit3", "beit3_base_patch16_224", **VIT)
timm_model("fastvit_mci", "fastvit_mci0", size=64, embed_dims=(16, 32, 64, 64), layers=(1, 1, 1, 1))
timm_model("convit_small", "convit_small", img_size=32, patch_size=8, embed_dim=36, depth=3, num_heads=9, local_up_to_layer=2)
timm_model("hiera_abswin", "hiera_small_abswin_256", size=256, embed_dim=16, num_heads=1, stages=(1, 1, 2, 1))
mvit("mvitv2_conv_unshared", depths=(1, 1, 2, 1), embed_dim=16, expand_attn=False)
mvit("mvitv1", depths=(1, 1, 2, 1), embed_dim=16, use_abs_pos=True, rel_pos_type="", residual_pooling=False)
mvit("mvit_avg", depths=(1, 1, 1, 1), embed_dim=16, mode="avg")
timm_model("swinv2_large_window", "swinv2_base_window12to16_192to256", size=64, img_size=64, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4))
timm_model("coatnext", "coatnext_nano_rw_224", size=64, img_size=64, embed_dim=(32, 32, 32, 64), depths=(1, 1, 1, 1), stem_width=(8, 8))
timm_model("coatnet_pico", "coatnet_rmlp_1_rw2_224", size=64, img_size=64, embed_dim=(32, 32, 32, 64), depths=(1, 1, 1, 2), stem_width=(8, 8))
timm_model("maxxvitv2", "maxxvitv2_nano_rw_256", size=64, img_size=64, embed_dim=(32, 32), depths=(1, 1), block_type=("M", "M"), stem_width=(8, 8))
timm_class("volo_outlook", "volo:VOLO", 64, layers=(2, 1, 1, 1), img_size=64, embed_dims=(16, 32, 32, 32), num_heads=(2, 4, 4, 4), use_mix_token=False, outlook_attention=(True, True, False, False))
timm_model("efficientvit_sam", "efficientvit_l2", size=64, widths=(8, 16, 16, 32, 64), depths=(1, 1, 1, 1, 1), head_widths=(64, 64))
timm_model("tresnet", "tresnet_m", size=64, width_factor=0.25, layers=(1, 1, 1, 1))
timm_model("rexnet", "rexnet_100", size=64)
timm_model("legacy_senet", "legacy_seresnet18", size=64, layers=(1, 1, 1, 1))
timm_model("repghost", "repghostnet_050", size=64)
timm_model("lcnetv2", "lcnetv2_small", size=64)
timm_model("tinynet", "tinynet_e", size=64)
timm_model("mixnet", "mixnet_s", size=64)
for gate in ("ese", "ecam", "ceca", "gc", "gca", "lcbam", "coord", "scoord", "ela", "strip"):
    timm_model(f"resnet_{gate}", "resnet18", size=64, layers=(1, 1, 1, 1), channels=(16, 32, 32, 64), block_args={"attn_layer": gate})
