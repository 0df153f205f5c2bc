extension OperatorEntry {
  /// Products and conversions of quantized numbers.
  static let quantized: [OperatorEntry] = [
    .init(
      .quantizeLinear, "QuantizeLinear", since: 10,
      [.int("axis", 1), .int("block_size", 0), .int("saturate", 1), .int("output_dtype", 0), .int("precision", 0)]),
    .init(.dequantizeLinear, "DequantizeLinear", since: 10, [.int("axis", 1), .int("block_size", 0), .int("output_dtype", 0)]),
    .init(.dynamicQuantizeLinear, "DynamicQuantizeLinear", since: 11),
    .init(.matMulInteger, "MatMulInteger", since: 10),
    .init(.convInteger, "ConvInteger", since: 10, window),
    .init(.qLinearMatMul, "QLinearMatMul", since: 10),
    .init(.qLinearConv, "QLinearConv", since: 10, window),
    .init(
      .matMulNBits, "MatMulNBits", domain: microsoft,
      [.int("K").required, .int("N").required, .int("bits", 4), .int("block_size").required, .int("accuracy_level", 0), .int("weight_prepacked", 0)]),
    .init(.dynamicQuantizeMatMul, "DynamicQuantizeMatMul", domain: microsoft),
    .init(
      .matMulBnb4, "MatMulBnb4", domain: microsoft,
      [.int("K").required, .int("N").required, .int("block_size").required, .int("quant_type").required, .int("transB", 1), .int("training_mode", 0)]),
    .init(
      .gatherBlockQuantized, "GatherBlockQuantized", domain: microsoft,
      [.int("bits", 4), .int("block_size", 128), .int("gather_axis", 0), .int("quantize_axis", 1)]),
  ]

  private static let window: [AttributeSchema] = [
    .choice("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"]), .ints("kernel_shape"), .ints("strides"), .ints("pads"), .ints("dilations"),
    .int("group", 1),
  ]

  /// Cells that are run over a sequence.
  static let recurrent: [OperatorEntry] = [
    .init(.rnn, "RNN", since: 7, cell),
    .init(.gru, "GRU", since: 7, cell + [.int("linear_before_reset", 0)]),
    .init(.lstm, "LSTM", since: 7, cell + [.int("input_forget", 0)]),
  ]

  private static let cell: [AttributeSchema] = [
    .int("hidden_size"), .choice("direction", ["forward", "reverse", "bidirectional"]), .int("layout", 0), .strings("activations"),
    .floats("activation_alpha"), .floats("activation_beta"), .float("clip"),
  ]

  static let signal: [OperatorEntry] = [
    .init(.dft, "DFT", since: 20, [.int("inverse", 0), .int("onesided", 0)]),
    .init(.stft, "STFT", since: 17, [.int("onesided", 1)]),
    .init(.hannWindow, "HannWindow", since: 17, [.int("periodic", 1), .int("output_datatype", 1)]),
    .init(.hammingWindow, "HammingWindow", since: 17, [.int("periodic", 1), .int("output_datatype", 1)]),
    .init(.blackmanWindow, "BlackmanWindow", since: 17, [.int("periodic", 1), .int("output_datatype", 1)]),
    .init(.melWeightMatrix, "MelWeightMatrix", since: 17, [.int("output_datatype", 1)]),
  ]

  static let detection: [OperatorEntry] = [
    .init(.nonMaxSuppression, "NonMaxSuppression", since: 10, [.int("center_point_box", 0)]),
    .init(
      .roiAlign, "RoiAlign", since: 16,
      [
        .choice("coordinate_transformation_mode", ["half_pixel", "output_half_pixel"]), .choice("mode", ["avg", "max"]), .int("output_height", 1),
        .int("output_width", 1), .int("sampling_ratio", 0), .float("spatial_scale", 1),
      ]),
    .init(.maxRoiPool, "MaxRoiPool", [.ints("pooled_shape").required, .float("spatial_scale", 1)]),
    .init(
      .cropAndResize, "CropAndResize", domain: microsoft, [.choice("mode", ["bilinear", "nearest"]), .float("extrapolation_value", 0)]),
    .init(
      .gridSample, "GridSample", since: 20,
      [.choice("mode", ["linear", "nearest", "cubic"]), .choice("padding_mode", ["zeros", "border", "reflection"]), .int("align_corners", 0)]),
    .init(.affineGrid, "AffineGrid", since: 20, [.int("align_corners", 0)]),
    .init(
      .deformConv, "DeformConv", since: 19,
      [.ints("kernel_shape"), .ints("strides"), .ints("pads"), .ints("dilations"), .int("group", 1), .int("offset_group", 1)]),
    .init(.col2Im, "Col2Im", since: 18, [.ints("strides"), .ints("pads"), .ints("dilations")]),
  ]

  static let text: [OperatorEntry] = [
    .init(
      .stringNormalizer, "StringNormalizer", since: 10,
      [.choice("case_change_action", ["NONE", "LOWER", "UPPER"]), .int("is_case_sensitive", 0), .string("locale"), .strings("stopwords")]),
    .init(.stringConcat, "StringConcat", since: 20),
    .init(.stringSplit, "StringSplit", since: 20, [.string("delimiter"), .int("maxsplit")]),
    .init(.regexFullMatch, "RegexFullMatch", since: 20, [.string("pattern")]),
    .init(
      .tfIdfVectorizer, "TfIdfVectorizer", since: 9,
      [
        .choice("mode", ["TF", "IDF", "TFIDF"]).required, .int("min_gram_length").required, .int("max_gram_length").required,
        .int("max_skip_count").required, .ints("ngram_counts").required, .ints("ngram_indexes").required, .ints("pool_int64s"),
        .strings("pool_strings"), .floats("weights"),
      ]),
    .init(.imageDecoder, "ImageDecoder", since: 20, [.choice("pixel_format", ["RGB", "BGR", "Grayscale"])]),
  ]

  /// ai.onnx.ml: models that are trees, planes and tables.
  static let learned: [OperatorEntry] = [
    .init(
      .treeEnsemble, "TreeEnsemble", domain: learning, since: 5,
      [
        .int("aggregate_function", 1), .int("post_transform", 0), .int("n_targets"), .ints("tree_roots").required, .ints("nodes_featureids").required,
        .numbers("nodes_splits").required, .numbers("nodes_modes").required, .ints("nodes_truenodeids").required,
        .ints("nodes_falsenodeids").required, .ints("nodes_trueleafs").required, .ints("nodes_falseleafs").required,
        .ints("nodes_missing_value_tracks_true"), .numbers("nodes_hitrates"), .numbers("membership_values"), .ints("leaf_targetids").required,
        .numbers("leaf_weights").required,
      ]),
    .init(
      .treeEnsembleClassifier, "TreeEnsembleClassifier", domain: learning,
      nodes + [
        transform, .ints("class_treeids"), .ints("class_nodeids"), .ints("class_ids"), .floats("class_weights"), .numbers("class_weights_as_tensor"),
        .ints("classlabels_int64s"), .strings("classlabels_strings"),
      ]),
    .init(
      .treeEnsembleRegressor, "TreeEnsembleRegressor", domain: learning,
      nodes + [
        transform, .choice("aggregate_function", ["SUM", "AVERAGE", "MIN", "MAX"]), .int("n_targets"), .ints("target_treeids"),
        .ints("target_nodeids"), .ints("target_ids"), .floats("target_weights"), .numbers("target_weights_as_tensor"),
      ]),
    .init(
      .linearClassifier, "LinearClassifier", domain: learning,
      [transform, .floats("coefficients").required, .floats("intercepts"), .ints("classlabels_ints"), .strings("classlabels_strings"), .int("multi_class", 0)]),
    .init(.linearRegressor, "LinearRegressor", domain: learning, [transform, .floats("coefficients"), .floats("intercepts"), .int("targets", 1)]),
    .init(
      .svmClassifier, "SVMClassifier", domain: learning,
      vectors + [
        .ints("classlabels_ints"), .strings("classlabels_strings"), .floats("prob_a"), .floats("prob_b"), .ints("vectors_per_class"),
      ]),
    .init(.svmRegressor, "SVMRegressor", domain: learning, vectors + [.int("n_supports", 0), .int("one_class", 0)]),
    .init(.normalizer, "Normalizer", domain: learning, [.choice("norm", ["MAX", "L1", "L2"])]),
    .init(.scaler, "Scaler", domain: learning, [.floats("offset"), .floats("scale")]),
    .init(
      .imputer, "Imputer", domain: learning,
      [.floats("imputed_value_floats"), .ints("imputed_value_int64s"), .float("replaced_value_float", 0), .int("replaced_value_int64", 0)]),
    .init(.binarizer, "Binarizer", domain: learning, [.float("threshold", 0)]),
    .init(.arrayFeatureExtractor, "ArrayFeatureExtractor", domain: learning),
    .init(
      .labelEncoder, "LabelEncoder", domain: learning,
      [
        .strings("keys_strings"), .ints("keys_int64s"), .floats("keys_floats"), .strings("values_strings"), .ints("values_int64s"),
        .floats("values_floats"), .string("default_string"), .int("default_int64", -1), .float("default_float", 0),
        // Tensors of version 4, by what they hold; strings became lists.
        .numbers("keys_tensor"), .numbers("values_tensor"), .numbers("default_tensor"),
        // Version 1: the labels of 0, 1, 2 ...
        .strings("classes_strings"),
      ]),
    .init(.oneHotEncoder, "OneHotEncoder", domain: learning, [.ints("cats_int64s"), .strings("cats_strings"), .int("zeros", 1)]),
    .init(.featureVectorizer, "FeatureVectorizer", domain: learning, [.ints("inputdimensions")]),
    .init(
      .categoryMapper, "CategoryMapper", domain: learning,
      [.ints("cats_int64s"), .strings("cats_strings"), .int("default_int64", -1), .string("default_string")]),
  ]

  /// ai.onnx.ml: between tensors and maps.
  static let maps: [OperatorEntry] = [
    .init(.zipMap, "ZipMap", domain: learning, [.ints("classlabels_int64s"), .strings("classlabels_strings")]),
    .init(
      .castMap, "CastMap", domain: learning,
      [.choice("cast_to", ["TO_FLOAT", "TO_STRING", "TO_INT64"]), .choice("map_form", ["DENSE", "SPARSE"]), .int("max_map", 1)]),
    .init(.dictVectorizer, "DictVectorizer", domain: learning, [.ints("int64_vocabulary"), .strings("string_vocabulary")]),
  ]

  private static let transform: AttributeSchema = .choice("post_transform", ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"])
  private static let nodes: [AttributeSchema] = [
    .ints("nodes_treeids"), .ints("nodes_nodeids"), .ints("nodes_featureids"), .strings("nodes_modes"), .floats("nodes_values"),
    .numbers("nodes_values_as_tensor"), .ints("nodes_truenodeids"), .ints("nodes_falsenodeids"), .ints("nodes_missing_value_tracks_true"),
    .floats("nodes_hitrates"), .numbers("nodes_hitrates_as_tensor"), .floats("base_values"), .numbers("base_values_as_tensor"),
  ]
  private static let vectors: [AttributeSchema] = [
    transform, .choice("kernel_type", ["LINEAR", "POLY", "RBF", "SIGMOID"]), .floats("kernel_params"), .floats("coefficients"),
    .floats("support_vectors"), .floats("rho"),
  ]

  /// ai.onnx.preview.training: one step of an optimizer.
  static let training: [OperatorEntry] = [
    .init(.adagrad, "Adagrad", domain: optimizers, [.float("decay_factor", 0), .float("epsilon", 1e-6), .float("norm_coefficient", 0)]),
    .init(
      .adam, "Adam", domain: optimizers,
      [.float("alpha", 0.9), .float("beta", 0.999), .float("epsilon", 1e-6), .float("norm_coefficient", 0), .float("norm_coefficient_post", 0)]),
    .init(
      .momentum, "Momentum", domain: optimizers,
      [.float("alpha").required, .float("beta").required, .choice("mode", ["standard", "nesterov"]).required, .float("norm_coefficient").required]),
  ]
  private static let optimizers = "ai.onnx.preview.training"

  static let contributed: [OperatorEntry] = [
    .init(
      .microsoftAttention, "Attention", domain: microsoft,
      headed + [.ints("qkv_hidden_sizes"), .int("past_present_share_buffer", 0)]),
    .init(.microsoftMultiHeadAttention, "MultiHeadAttention", domain: microsoft, headed),
    .init(
      .groupQueryAttention, "GroupQueryAttention", domain: microsoft,
      [
        .int("num_heads").required, .int("kv_num_heads").required, .float("scale", 0), .float("softcap", 0), .int("local_window_size", -1),
        .int("do_rotary", 0), .int("rotary_interleaved", 0), .int("smooth_softmax", 0), .int("causal", 1),
      ]),
    .init(
      .microsoftRotaryEmbedding, "RotaryEmbedding", domain: microsoft,
      [.int("interleaved", 0), .int("num_heads", 0), .int("rotary_embedding_dim", 0), .int("is_packed_batching", 0), .float("scale", 1)]),
    .init(.inverse, "Inverse", domain: microsoft),
  ]

  private static let headed: [AttributeSchema] = [
    .int("num_heads").required, .float("scale", 0), .float("mask_filter_value", -10000), .int("unidirectional", 0),
  ]
}
