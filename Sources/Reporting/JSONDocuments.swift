internal import Diagnostics
internal import Tensors
internal import Validation

extension InspectReport {
  public static let schema = "vitconv.inspect/1"

  public var json: JSONValue {
    [
      "schema": .string(Self.schema),
      "model": model.json,
      "architecture": architecture.json,
      "explanation": explanation?.json ?? .null,
      "operators": .object(operators.map { .init($0.name, .integer($0.count)) }),
      "cost": ["macs": .init(cost.macs), "elementwise": .init(cost.elementwise), "activation_bytes_peak": .init(cost.activationBytesPeak)],
      "attention": .array(attention.map(\.json)),
      "shared_modules": .array(sharedModules.map(\.json)),
      "near_misses": .array(
        nearMisses.map { ["at": .string($0.at), "looked_like": .string($0.lookedLike), "refused": .string($0.refused)] }),
      "findings": .array(findings.map(\.json)),
    ]
  }
}

extension Diagnostic {
  fileprivate var json: JSONValue {
    ["code": .string(code.id), "level": .string(level.rawValue), "message": .string(message), "at": .string(at.element ?? "")]
  }
}

extension ModelSummary {
  var json: JSONValue {
    [
      "path": .string(path), "format": .string(format), "producer": .string(producer),
      "opset": .object(opset.map { .init($0.domain, .integer($0.version)) }),
      "parameters": .integer(parameters), "bytes": .integer(bytes),
      "inputs": .array(inputs.map(\.json)), "outputs": .array(outputs.map(\.json)),
    ]
  }
}

extension PortSummary {
  /// Symbolic dimensions are strings; an unknown type or rank is null.
  var json: JSONValue {
    let shape = type?.shape?.dims.map(JSONValue.init(dimension:))
    return ["name": .string(name), "type": .init(type?.element.name ?? container), "shape": shape.map(JSONValue.array) ?? .null]
  }
}

extension JSONValue {
  /// A number, or the symbol's name.
  init(dimension: Dim) { self = dimension.value.map(JSONValue.integer) ?? .string(dimension.description) }
}

extension SharedModuleSummary {
  var json: JSONValue {
    [
      "mechanism": .string(mechanism), "attention": .array(attention.map(JSONValue.integer)), "carriers": .array(carriers.map(JSONValue.integer)),
      "residual_blocks": .integer(residualBlocks), "bits": .string(bits), "parameters": .integer(parameters),
    ]
  }
}

extension AttentionSummary {
  var json: JSONValue {
    [
      "index": .integer(index), "name": .string(name), "family": .string(family), "mechanism": .string(mechanism),
      "heads": .init(heads), "head_dim": .init(headDim), "value_dim": .init(valueDim),
      "query_tokens": .init(dimension: queryTokens), "key_tokens": .init(dimension: keyTokens),
      "scale": .init(scale), "bias": .string(bias), "qk_norm": .string(qkNorm), "causal": .bool(causal),
      "parameters": .integer(parameters), "macs": .init(macs),
      "elementwise": .integer(elementwise), "rotary": .bool(rotary), "geometry": geometry.json, "traits": .array(traits.map(JSONValue.string)),
      "confirmed": confirmed.map(JSONValue.bool) ?? .null,
      "confirmation": confirmation.map { ["kind": .string($0.kind), "extent": .string($0.extent), "error": .number($0.error)] } ?? .null,
      "weights": .array(weights.map { ["role": .string($0.role), "name": .string($0.name)] }),
      "nodes": .array(nodes.map(JSONValue.string)), "rewrites": .array(rewrites.map(JSONValue.string)),
    ]
  }
}

extension Comparison {
  var json: JSONValue {
    [
      "max_abs": .init(maxAbs), "max_rel": .init(maxRel), "nmse": .init(nmse), "kl": .init(kl), "top1_agreement": .init(top1Agreement),
      "top1": .init(top1), "top1_reference": .init(top1Reference), "samples": .integer(samples),
      "outputs": .array(
        outputs.map {
          [
            "name": .string($0.name), "max_abs": .number($0.maxAbs), "max_rel": .number($0.maxRel), "nmse": .number($0.nmse),
            "tolerance": .init($0.tolerance), "tolerance_basis": .init($0.toleranceBasis),
          ]
        }),
      "blocks": .array(blocks.map { ["index": .integer($0.index), "name": .string($0.name), "nmse": .number($0.nmse)] }),
      "first_difference": firstDifference.map {
        ["block": .init($0.block), "node": .string($0.node), "max_abs": .number($0.maxAbs), "tolerance": .number($0.tolerance)]
      } ?? .null,
    ]
  }
}

extension ConversionReport {
  public static let schema = "vitconv.convert/1"

  public var json: JSONValue {
    [
      "schema": .string(Self.schema), "input": .string(input), "output": .string(output), "findings": .array(findings.map(\.json)),
      "repairs": .array(repairs.map { ["id": .string($0.id), "at": .string($0.at), "fault": .string($0.fault)] }),
      "blocks": .array(blocks.map(\.json)),
      "model": [
        "macs_before": .init(model.macsBefore), "macs_after": .init(model.macsAfter),
        "bytes_before": .integer(model.bytesBefore), "bytes_after": .integer(model.bytesAfter),
        "parameters_before": .integer(model.parametersBefore), "parameters_after": .integer(model.parametersAfter),
      ],
      "comparison": comparison?.json ?? .null,
      "budget": budget.map {
        [
          "metric": .string($0.metric), "limit": .number($0.limit), "value": .number($0.value), "kept": .bool($0.isKept),
          "samples": .integer($0.samples),
        ]
      } ?? .null,
    ]
  }
}

extension BlockConversion {
  var json: JSONValue {
    [
      "index": .integer(index), "name": .string(name), "rewrite": .string(rewrite), "applied": .bool(applied), "reason": .string(reason),
      "nmse": .init(nmse), "macs_before": .init(macsBefore), "macs_after": .init(macsAfter), "parameters": .object(parameters),
    ]
  }
}

extension ValidationReport {
  public static let schema = "vitconv.validate/1"

  public var json: JSONValue {
    [
      "schema": .string(Self.schema), "model": .string(model), "reference": .init(reference), "verdict": .string(verdict.rawValue),
      "checks": .array(
        checks.map {
          [
            "id": .string($0.id), "level": .string($0.level.rawValue), "passed": .bool($0.passed), "value": .init($0.value), "limit": .init($0.limit),
            "message": .string($0.message), "at": .string($0.at),
          ]
        }),
      "comparison": comparison?.json ?? .null,
    ]
  }
}

extension RunReport {
  public static let schema = "vitconv.run/1"

  public var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("schema", .string(Self.schema)), .init("samples", .integer(samples)), .init("threads", .integer(threads)),
      .init("load_ms", .number(loadMilliseconds)), .init("run_ms", .number(runMilliseconds)), .init("peak_rss_bytes", .integer(peakResidentBytes)),
      .init("outputs", .array(outputs.map(\.json))),
    ]
    if let error { members.append(.init("error", error.json)) }
    return .object(members)
  }
}

extension BenchReport {
  public static let schema = "vitconv.bench/1"

  public var json: JSONValue {
    var members: [JSONValue.Member] = [
      .init("schema", .string(Self.schema)), .init("runs", .integer(runs)), .init("warmup", .integer(warmup)), .init("threads", .integer(threads)),
      .init("batch", .integer(batch)), .init("min_ms", .number(minMilliseconds)), .init("median_ms", .number(medianMilliseconds)),
      .init("p95_ms", .number(p95Milliseconds)), .init("load_ms", .number(loadMilliseconds)), .init("peak_rss_bytes", .integer(peakResidentBytes)),
    ]
    if let error { members.append(.init("error", error.json)) }
    if let profile { members.append(.init("profile", profile.json)) }
    return .object(members)
  }
}
