public import GraphIR

extension CataloguedOp {
  /// The one list from rows of the table to meanings; nil for those that take or make other things than tensors.
  var semantics: (any Operator)? {
    switch kind {
    case .quantizeLinear: QuantizeLinear(op: self)
    case .dequantizeLinear: DequantizeLinear(op: self)
    case .dynamicQuantizeLinear: DynamicQuantizeLinear(op: self)
    case .matMulInteger, .qLinearMatMul: IntegerMatMul(op: self)
    case .convInteger, .qLinearConv: IntegerConv(op: self)
    case .matMulNBits: MatMulNBits(op: self)
    case .dynamicQuantizeMatMul: DynamicQuantizeMatMul(op: self)
    case .matMulBnb4: MatMulBnb4(op: self)
    case .gatherBlockQuantized: GatherBlockQuantized(op: self)
    case .rnn, .gru, .lstm: Recurrence(op: self)
    case .dft: DiscreteFourierTransform(op: self)
    case .stft: ShortTimeFourierTransform(op: self)
    case .hannWindow, .hammingWindow, .blackmanWindow: CosineWindow(op: self)
    case .melWeightMatrix: MelWeightMatrix(op: self)
    case .nonMaxSuppression: NonMaxSuppression(op: self)
    case .roiAlign: RoiAlign(op: self)
    case .maxRoiPool: MaxRoiPool(op: self)
    case .cropAndResize: CropAndResize(op: self)
    case .gridSample: GridSample(op: self)
    case .affineGrid: AffineGrid(op: self)
    case .deformConv: DeformConv(op: self)
    case .col2Im: Col2Im(op: self)
    case .stringNormalizer: StringNormalizer(op: self)
    case .stringConcat: StringConcat(op: self)
    case .stringSplit: StringSplit(op: self)
    case .regexFullMatch: RegexFullMatch(op: self)
    case .tfIdfVectorizer: TfIdfVectorizer(op: self)
    case .imageDecoder: ImageDecoder(op: self)
    case .treeEnsemble, .treeEnsembleClassifier, .treeEnsembleRegressor: TreeEnsemble(op: self)
    case .linearClassifier, .linearRegressor: LinearModel(op: self)
    case .svmClassifier, .svmRegressor: SupportVectorMachine(op: self)
    case .normalizer: FeatureNormalizer(op: self)
    case .scaler: FeatureScaler(op: self)
    case .imputer: Imputer(op: self)
    case .binarizer: Binarizer(op: self)
    case .arrayFeatureExtractor: ArrayFeatureExtractor(op: self)
    case .labelEncoder: LabelEncoder(op: self)
    case .oneHotEncoder: OneHotEncoder(op: self)
    case .featureVectorizer: FeatureVectorizer(op: self)
    case .categoryMapper: CategoryMapper(op: self)
    case .zipMap, .castMap, .dictVectorizer: nil
    case .adagrad, .adam, .momentum: OptimizerStep(op: self)
    case .microsoftAttention, .microsoftMultiHeadAttention: CachedAttention(op: self)
    case .groupQueryAttention: GroupQueryAttention(op: self)
    case .microsoftRotaryEmbedding: MicrosoftRotaryEmbedding(op: self)
    case .inverse: MatrixInverse(op: self)
    }
  }

  /// What a row means that takes or makes maps.
  public var containerSemantics: (any ContainerOperator)? {
    switch kind {
    case .zipMap, .castMap, .dictVectorizer: MapOperator(op: self)
    default: nil
    }
  }
}
