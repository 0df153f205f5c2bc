/// Every code there is, sorted. A new one goes at the end of its stage, and into `all`.
extension DiagnosticCode {
  // 1: bytes
  public static let fileUnreadable = DiagnosticCode(1001, "file cannot be read", help: "The file is missing, is a directory, or may not be read.")
  public static let truncated = DiagnosticCode(1002, "data ends early", help: "A length in the file points past its end: the file is cut or damaged.")
  public static let limitExceeded = DiagnosticCode(
    1003, "a read limit is exceeded", help: "Counts, lengths or nesting go beyond what a real checkpoint holds; nothing was allocated for them.")
  public static let outputUnwritable = DiagnosticCode(
    1004, "output cannot be written", help: "The folder is missing, not writable, or full; nothing was left behind.")
  public static let externalPathRefused = DiagnosticCode(
    1005, "external data outside the model's folder",
    help: "External data must lie below the folder of the model, without '..', absolute paths or links that lead out.")
  public static let externalDataRange = DiagnosticCode(1006, "external data range is wrong", help: "Offset and length must lie inside the external file.")
  public static let archiveUnreadable = DiagnosticCode(
    1007, "archive cannot be read", help: "The archive is damaged, or holds what is no array of plain numbers.")
  public static let imageUnreadable = DiagnosticCode(1008, "image cannot be read", help: "The file is no PNG or JPEG, or is damaged.")

  // 2: format
  public static let malformed = DiagnosticCode(2001, "file is malformed", help: "The bytes do not follow the format's encoding.")
  public static let unknownFormat = DiagnosticCode(2002, "format is not known", help: "The content is none of the formats that vitconv reads.")
  public static let missingPart = DiagnosticCode(
    2003, "a required part is missing", help: "The format demands a part that the file does not hold, such as a graph or an operator set.")
  public static let unknownElementType = DiagnosticCode(2004, "element type is not known", help: "The tensor's type number is not one of the standard's.")
  public static let payloadMismatch = DiagnosticCode(
    2005, "payload does not fit the shape", help: "A tensor's bytes are fewer or more than its shape and type demand.")
  public static let unsupportedVersion = DiagnosticCode(
    2006, "version is not supported", help: "The operator set or format version is newer than this program knows.")
  public static let badAttribute = DiagnosticCode(
    2007, "attribute is wrong", help: "An operator's attribute has the wrong type or a value the operator does not allow.")
  public static let notExpressible = DiagnosticCode(
    2008, "graph cannot be expressed in the target format", help: "The output format has no way to say what the graph says.")
  public static let architectureOpen = DiagnosticCode(
    2009, "weights leave their architecture open", help: "No weight tells what the model needs; the message says what to give: --heads, --config or --shape.")
  public static let openChoice = DiagnosticCode(
    2010, "weights leave a choice open", .note, refusesInput: false,
    help: "The file holds weights without their architecture, and what was chosen changes results; a config.json beside it, or an option, tells otherwise.")
  public static let widenedArithmetic = DiagnosticCode(
    2011, "arithmetic is written in another type", .warning, refusesInput: false,
    help: "Few programs compute in bfloat16; `vitconv convert --bfloat16 keep` leaves the arithmetic as it is.")

  // 3: graph and shapes
  public static let duplicateName = DiagnosticCode(3001, "a value is defined twice", help: "Each value of a graph has one definition.")
  public static let undefinedValue = DiagnosticCode(
    3002, "a value is used but never defined", help: "A node or output reads a name that no input, initializer or node makes.")
  public static let cyclicGraph = DiagnosticCode(3003, "nodes are not in order", help: "A node reads a value made by a later node or by itself.")
  public static let operandCount = DiagnosticCode(3004, "wrong number of operands", help: "The operator takes another number of inputs or outputs.")
  public static let shapeMismatch = DiagnosticCode(3005, "shapes do not fit", help: "The operator's shape rule is broken by its inputs.")
  public static let typeMismatch = DiagnosticCode(3006, "types do not fit", help: "The operator's element types do not agree.")
  public static let sizeOverflow = DiagnosticCode(3007, "a size overflows", help: "A product of dimensions does not fit the machine.")
  public static let unknownOperator = DiagnosticCode(
    3008, "operator is not known", .warning, help: "The operator passes through untouched; it cannot be analysed or run.")
  public static let graphText = DiagnosticCode(3009, "graph text cannot be parsed", help: "The text does not follow schemas/vcg.ebnf.")
  public static let brokenInvariant = DiagnosticCode(3010, "graph breaks a law of the IR", help: "See the laws in Sources/GraphIR/StructuralVerifier.swift.")

  // 4: recognition
  public static let nonFiniteWeight = DiagnosticCode(4001, "a weight is not finite", .warning, help: "A weight holds NaN or infinity.")
  public static let nearMiss = DiagnosticCode(4002, "looked like attention and was refused", .note, help: "The reason names the first fact that is missing.")
  public static let unusualAttention = DiagnosticCode(
    4003, "attention of an unusual kind", .note, refusesInput: false,
    help: "The block attends, but a fact about it is seldom meant: a scale other than head_dim^-1/2, a mask the wrong way round, a missing residual.")
  public static let knownFault = DiagnosticCode(
    4004, "a known fault of an exporter", .warning, refusesInput: false,
    help: "The graph does not compute what the model did; `vitconv convert --repair` mends it. The message names the repair.")

  // 5: rewriting
  public static let rewriteRefused = DiagnosticCode(
    5001, "rewrite refused a block", .note, refusesInput: false, help: "The block does not have what the rewrite needs; the reason says what.")
  public static let calibrationData = DiagnosticCode(5002, "calibration data does not fit", help: "The rewrite needs more samples, or other arrays.")
  public static let numericalFailure = DiagnosticCode(
    5003, "a fit did not converge", refusesInput: false, help: "The linear system was singular or not finite.")
  public static let budgetBroken = DiagnosticCode(
    5004, "budget broken", refusesInput: false, help: "The converted model is worse than the budget allows on held-out samples.")

  // 6: running and comparing
  public static let operatorNotRunnable = DiagnosticCode(6001, "operator cannot be run", help: "There is no kernel for this operator and these types.")
  public static let badRunInput = DiagnosticCode(
    6002, "input does not fit the model", help: "Names, types or shapes of the given arrays are not those of the graph's inputs.")
  public static let kernelFailure = DiagnosticCode(6003, "a kernel failed", help: "The numeric library refused the operation.")
  public static let nonFiniteSample = DiagnosticCode(6004, "samples are not finite", help: "The given arrays hold NaN or infinity.")
  public static let outOfMemory = DiagnosticCode(6005, "not enough memory", help: "The run would need more memory than the machine has.")
  public static let modelsDiffer = DiagnosticCode(
    6006, "models differ beyond tolerance", refusesInput: false, help: "The report names the first place where they part.")
  public static let indexOutOfRange = DiagnosticCode(6007, "index out of range", help: "Gather or Scatter was given an index outside the axis.")
  public static let runLimit = DiagnosticCode(
    6008, "a run limit is exceeded", help: "A loop goes on without end, or the run takes longer than it was allowed.")
  public static let nothingToRun = DiagnosticCode(
    6009, "file has weights and no graph", help: "Weights are listed and copied; what runs a model needs its architecture.")

  // 7: usage
  public static let usage = DiagnosticCode(7001, "wrong usage", help: "See `vitconv --help`.")
  public static let rewriteUnknown = DiagnosticCode(7101, "no such rewrite", help: "`vitconv convert --list-rewrites` prints the catalogue.")
  public static let rewriteParameter = DiagnosticCode(7102, "rewrite parameter is wrong", help: "The message says which values it takes.")

  // 9: internal
  public static let internalError = DiagnosticCode(9001, "internal error", help: "A bug in vitconv; please report it with the file that shows it.")

  public static let all: [DiagnosticCode] = [
    fileUnreadable, truncated, limitExceeded, outputUnwritable, externalPathRefused, externalDataRange, archiveUnreadable, imageUnreadable,
    malformed, unknownFormat, missingPart, unknownElementType, payloadMismatch, unsupportedVersion, badAttribute, notExpressible,
    architectureOpen, openChoice, widenedArithmetic,
    duplicateName, undefinedValue, cyclicGraph, operandCount, shapeMismatch, typeMismatch, sizeOverflow, unknownOperator, graphText, brokenInvariant,
    nonFiniteWeight, nearMiss, unusualAttention, knownFault,
    rewriteRefused, calibrationData, numericalFailure, budgetBroken,
    operatorNotRunnable, badRunInput, kernelFailure, nonFiniteSample, outOfMemory, modelsDiffer, indexOutOfRange, runLimit,
    nothingToRun,
    usage, rewriteUnknown, rewriteParameter,
    internalError,
  ]
}
