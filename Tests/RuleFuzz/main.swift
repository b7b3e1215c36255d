// Feeds the rule parser with what libFuzzer makes up. `make fuzz` builds and runs it.
import CFuzzer
import Glibc
import RuleInput

/// By the name that libFuzzer's own `main` wants, which is linked but never called: a Swift program has its own.
@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ bytes: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    tryRuleInput(Array(UnsafeBufferPointer(start: bytes, count: size)))
    return 0
}

var count = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(LLVMFuzzerRunDriver(&count, &arguments, testOneInput))
