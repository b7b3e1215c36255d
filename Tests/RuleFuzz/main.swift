// Feeds the rule parser with what libFuzzer makes up. `make fuzz` builds and runs it.
import CFuzzer
import Glibc
import RuleInput

var count = CommandLine.argc
var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
exit(
    LLVMFuzzerRunDriver(&count, &arguments) { bytes, size in
        tryRuleInput(Array(UnsafeBufferPointer(start: bytes, count: size)))
        return 0
    })
