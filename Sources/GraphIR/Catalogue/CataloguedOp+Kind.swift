extension CataloguedOp {
  /// The operators of the table. The raw value is the mnemonic of the text form.
  public enum Kind: String, Hashable, Sendable, CaseIterable {
    // Quantized
    case quantizeLinear = "quantize_linear"
    case dequantizeLinear = "dequantize_linear"
    case dynamicQuantizeLinear = "dynamic_quantize_linear"
    case matMulInteger = "matmul_integer"
    case convInteger = "conv_integer"
    case qLinearMatMul = "q_linear_matmul"
    case qLinearConv = "q_linear_conv"
    case matMulNBits = "matmul_n_bits"
    case dynamicQuantizeMatMul = "dynamic_quantize_matmul"
    case matMulBnb4 = "matmul_bnb4"
    case gatherBlockQuantized = "gather_block_quantized"

    // Recurrent
    case rnn, gru, lstm

    // Signal
    case dft, stft
    case hannWindow = "hann_window"
    case hammingWindow = "hamming_window"
    case blackmanWindow = "blackman_window"
    case melWeightMatrix = "mel_weight_matrix"

    // Detection and geometry
    case nonMaxSuppression = "non_max_suppression"
    case roiAlign = "roi_align"
    case maxRoiPool = "max_roi_pool"
    case cropAndResize = "crop_and_resize"
    case gridSample = "grid_sample"
    case affineGrid = "affine_grid"
    case deformConv = "deform_conv"
    case col2Im = "col2im"

    // Text and pictures
    case stringNormalizer = "string_normalizer"
    case stringConcat = "string_concat"
    case stringSplit = "string_split"
    case regexFullMatch = "regex_full_match"
    case tfIdfVectorizer = "tf_idf_vectorizer"
    case imageDecoder = "image_decoder"

    // ai.onnx.ml
    case treeEnsemble = "tree_ensemble"
    case treeEnsembleClassifier = "tree_ensemble_classifier"
    case treeEnsembleRegressor = "tree_ensemble_regressor"
    case linearClassifier = "linear_classifier"
    case linearRegressor = "linear_regressor"
    case svmClassifier = "svm_classifier"
    case svmRegressor = "svm_regressor"
    case normalizer, scaler, imputer, binarizer
    case arrayFeatureExtractor = "array_feature_extractor"
    case labelEncoder = "label_encoder"
    case oneHotEncoder = "one_hot_encoder"
    case featureVectorizer = "feature_vectorizer"
    case categoryMapper = "category_mapper"
    case zipMap = "zip_map"
    case castMap = "cast_map"
    case dictVectorizer = "dict_vectorizer"

    // Optimizers
    case adagrad, adam, momentum

    // com.microsoft
    case microsoftAttention = "microsoft_attention"
    case microsoftMultiHeadAttention = "microsoft_multi_head_attention"
    case groupQueryAttention = "group_query_attention"
    case microsoftRotaryEmbedding = "microsoft_rotary_embedding"
    case inverse
  }
}
