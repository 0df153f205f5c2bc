import Diagnostics
import Rewriting
import Testing

struct RewriteCatalogueTests {
  @Test func idsAreUniqueAndMade() throws {
    let ids = RewriteCatalogue.all.map { $0.id }
    #expect(Set(ids).count == ids.count)
    for id in ids { #expect(type(of: try RewriteCatalogue.make(id)).id == id) }
    for type in RewriteCatalogue.all {
      #expect(!type.summary.isEmpty)
      if case .at(let parameters, _) = type.neutral { _ = try type.init(parameters: parameters) }
    }
  }

  @Test(arguments: [
    ("none", DiagnosticCode.rewriteUnknown), ("", .rewriteUnknown), ("fcvit:kernel=4", .rewriteParameter), ("fcvit:kernel", .rewriteParameter),
    ("fcvit:contexts=0", .rewriteParameter), ("fcvit:contexts=2x", .rewriteParameter), ("fcvit:contexts=99999999999999999999", .rewriteParameter),
    ("fcvit:temperature=warm", .rewriteParameter), ("fcvit:size=3", .rewriteParameter), ("fcvit:kernel=3,kernel=5", .rewriteParameter),
    ("oamixer:kappa=nan", .rewriteParameter), ("oamixer:kappa=", .rewriteParameter), ("oamixer:kappa=1,,2", .rewriteParameter),
    ("oamixer:labels=head", .rewriteParameter), ("fcvit:", .rewriteParameter),
  ])
  func mistakesAreNamed(specification: String, code: DiagnosticCode) throws {
    if specification == "fcvit:" {
      _ = try RewriteCatalogue.make(specification)
      return
    }
    let failure = try #require(throws: Failure.self) { try RewriteCatalogue.make(specification) }
    #expect(failure.code == code)
    #expect(!failure.message.isEmpty)
  }

  @Test func listsMayHoldCommas() throws {
    let mixer = try #require(try RewriteCatalogue.make("oamixer:kappa=0.5,1,2,labels=input") as? OAMixer)
    #expect(mixer.kappa == [0.5, 1, 2])
    #expect(mixer.labels == .input)
  }
}
