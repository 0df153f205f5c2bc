import Foundation
import Testing

@testable import Reporting

@Suite struct JSONValueTests {
  @Test func membersKeepTheirOrder() {
    let value: JSONValue = ["z": 1, "a": [true, .null, "x"], "m": [:], "e": []]
    #expect(
      value.text == #"""
        {
          "z": 1,
          "a": [true, null, "x"],
          "m": {},
          "e": []
        }
        """#)
    #expect(value["m"] == .object([]) && value["none"] == nil)
  }

  @Test func numbersThatJSONLacksAreNull() {
    let value: JSONValue = [.number(.nan), .number(.infinity), .number(-.infinity), 0.1, 1e-300, -2.0]
    #expect(value.text == "[null, null, null, 0.1, 1e-300, -2.0]")
  }

  @Test func anyStringSurvivesAnotherReader() throws {
    let strings = ["", "a\"b\\c", "tab\tline\nreturn\r", "\u{0}\u{1}\u{1F}\u{7F}", "é 漢 🧮", "</script>", String(repeating: "x", count: 300)]
    let text = JSONValue.array(strings.map(JSONValue.string)).text
    let read = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String])
    #expect(read == strings)
  }

  @Test func deepDocumentsAreIndented() throws {
    let text = (["a": [["b": [["c": 1]]]]] as JSONValue).text
    let read = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? NSDictionary)
    #expect(read == ["a": [["b": [["c": 1]]]]])
    #expect(text.split(separator: "\n").count == 9)
  }
}
